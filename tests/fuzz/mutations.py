"""Valid inputs made wrong: nested values, text and bytes, with a generator that decides all."""

from __future__ import annotations

import copy
import json
import math
import struct
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any

NUMBERS = (
    0, 1, -1, 2, 7, 255, 256, 65_535, 65_536, 30_000, 100_000, 2**31 - 1, 2**31, 2**32, 2**53 + 1,
    2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**40, -(10**40), 0.5, -0.0, 1e-320, 1e12, 1e308,
    math.nan, math.inf, -math.inf,
)  # fmt: skip
TEXTS = (
    "", " ", "0", "-1", "NaN", "null", "true", "a\nb", "\x1b[2J", "\0", "a\0b", "\ud800", "\udcff",
    "é" * 300, "第二", "\u202e", "\U0001f600", "x" * 5000, "/", ".", "..", "../../etc/passwd",
    "/dev/zero", "/nowhere/file.json", "os:system", "tests.fuzz.nothing:Class", "hub:owner/name",
    "owner/name", "cpu", "[1, 2]", "{}", "%s", "{0}", "1e400", "9" * 5000,
)  # fmt: skip
WORDS = (b"\xff", b"\x00", b"\xef\xbb\xbf", b"\xff\xfe", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff",
         b"\x80\x00\x00\x00", b"\x00\x00\x00\x00", b"{", b"]", b'"', b"\n", b"\x1a")  # fmt: skip


def odd_value(rng: Random) -> Any:
    """A value that a reader does not expect."""
    kind = rng.randrange(6)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind == 2:
        return rng.choice(TEXTS)
    if kind == 3:
        return rng.choice((None, True, False, [], {}, [[]], {"": None}, [None] * 4, {"id": {}}))
    if kind == 4:
        return [rng.choice(NUMBERS) for _ in range(rng.choice((1, 3, 4, 5, 8, 100)))]
    value: Any = rng.choice(NUMBERS)
    for _ in range(rng.choice((2, 30, 60, 300))):
        value = [value] if rng.random() < 0.7 else {"a": value}
    return value


def mutate_value(rng: Random, value: Any) -> Any:
    """A copy of nested plain values that is wrong in one to four places."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(value))
        if not places:
            return odd_value(rng)
        box, key = rng.choice(places)
        _change(rng, box, key, places)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in keys if isinstance(value, (dict, list)) else ():
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def _change(rng: Random, box: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    kind = rng.randrange(10)
    old = box[key]
    if kind < 4:
        box[key] = odd_value(rng)
    elif kind == 4:
        del box[key]
    elif kind == 5:
        other, place = rng.choice(places)
        if isinstance(other, dict):
            found = other.get(place)
        else:
            found = other[place] if place < len(other) else None
        box[key] = copy.deepcopy(found)
    elif kind == 6 and isinstance(old, (int, float)) and not isinstance(old, bool):
        box[key] = rng.choice((-old, old * 1000, old + 1, old / 7, str(old), [old]))
    elif kind == 7 and isinstance(box, dict):
        box[rng.choice((*TEXTS, str(key).upper(), f"{key} "))] = box.pop(key)
    elif kind == 8 and isinstance(box, list):
        box.extend(copy.deepcopy(box)[: rng.choice((1, 50))])
        rng.shuffle(box)
    elif isinstance(old, str):
        box[key] = mutate_text(rng, old)
    else:
        box[key] = [old] * rng.choice((1, 2, 30))


def mutate_text(rng: Random, text: str) -> str:
    """A text with some characters replaced, removed, doubled or inserted."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        a = rng.randrange(len(text) + 1)
        b = min(len(text), a + rng.choice((0, 1, 2, 8, 40)))
        kind = rng.randrange(4)
        if kind == 0:
            text = text[:a] + text[b:]
        elif kind == 1:
            text = text[:b] + text[a:]
        else:
            text = text[:a] + rng.choice((*TEXTS, str(rng.choice(NUMBERS)))) + text[b:]
    return text


def mutate_bytes(rng: Random, data: bytes, times: int = 5) -> bytes:
    """Bytes with flipped bits, lost, doubled or overwritten parts, or cut off."""
    found = bytearray(data)
    for _ in range(rng.randint(1, times)):
        a = rng.randrange(len(found) + 1)
        b = min(len(found), a + rng.choice((1, 1, 2, 4, 16, 200)))
        kind = rng.randrange(8)
        if kind < 3 and a < len(found):
            found[a] ^= 1 << rng.randrange(8)
        elif kind == 3:
            del found[a:b]
        elif kind == 4:
            found[a:a] = found[a:b] * rng.choice((1, 3))
        elif kind == 5:
            word = rng.choice(WORDS)
            found[a : a + len(word)] = word
        elif kind == 6:
            word = struct.pack(rng.choice("<>") + "I", rng.choice(NUMBERS[:12]) & 0xFFFFFFFF)
            found[a : a + 4] = word
        elif rng.random() < 0.3:
            del found[a:]
    return bytes(found)


def mutate_digits(rng: Random, data: bytes) -> bytes:
    """Text-like bytes with some of their numbers replaced."""
    parts: list[bytes] = []
    number = b""
    for byte in [*data, -1]:
        if 48 <= byte < 58:
            number += bytes([byte])
            continue
        if number and rng.random() < 0.04:
            number = str(rng.choice(NUMBERS)).encode()
        parts.append(number + (bytes([byte]) if byte >= 0 else b""))
        number = b""
    return b"".join(parts)


def mutate_png(rng: Random, data: bytes) -> bytes:
    """A PNG whose chunks are changed, doubled or lost; their check sums are right."""
    chunks, place = [], 8
    while place + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += size + 12
    for _ in range(rng.choice((1, 2))):
        at = rng.randrange(len(chunks))
        kind, body = chunks[at]
        what = rng.randrange(5)
        if what < 3 and body:
            chunks[at] = kind, mutate_bytes(rng, body, 2)
        elif what == 3:
            chunks.insert(at, chunks[rng.randrange(len(chunks))])
        else:
            names = (b"tEXt", b"zTXt", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"PLTE", b"tRNS")
            chunks.insert(at, (rng.choice(names), rng.randbytes(rng.choice((0, 4, 26)))))
    found = data[:8]
    for kind, body in chunks:
        sum_ = zlib.crc32(kind + body)
        found += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", sum_)
    return found


def json_bytes(rng: Random, value: Any) -> bytes:
    """Nested values, made wrong, as a JSON file that is sometimes wrong too."""
    kind = rng.randrange(12)
    if kind < 9:
        value = mutate_value(rng, value)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1)))
    if kind == 8:  # a key that occurs twice
        at = [i for i, char in enumerate(text) if char == "{"]
        keys = list(value) if isinstance(value, dict) else []
        if at and keys:
            again = f"{json.dumps(rng.choice(keys))}: {json.dumps(odd_value(rng))}, "
            place = rng.choice(at) + 1
            text = text[:place] + again + text[place:]
    if kind == 9:
        text = mutate_text(rng, text)
    data = text.encode("utf-8", rng.choice(("surrogatepass", "replace")))
    if kind == 10:
        depth = rng.choice((100, 5000, 200_000))
        data = data.replace(b": ", b": " + b"[" * depth, 1)
    if kind == 11:
        data = mutate_bytes(rng, data)
    if rng.random() < 0.02:
        data = text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")), "replace")
    return data
