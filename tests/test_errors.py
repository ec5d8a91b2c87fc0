"""What a message is made of, and whose code raised an error."""

from __future__ import annotations

import pickle

import pytest

from lmv3det.errors import InputError, users_traceback


def test_parts_of_a_message():
    error = InputError(
        "9 pages, more than 2", subject="a.pdf", fix="split it", setting="LMV3DET_MAX_PAGES"
    )
    assert str(error) == "a.pdf: 9 pages, more than 2; split it, or set LMV3DET_MAX_PAGES"
    assert error.sentence(subject=False, named=lambda _: "") == "9 pages, more than 2; split it"
    assert str(InputError("no GPU", setting="device=cpu")) == "no GPU; set device=cpu"
    assert str(InputError("a.pdf: damaged")) == "a.pdf: damaged"


def test_an_error_comes_whole_out_of_another_process():
    error = pickle.loads(pickle.dumps(InputError("empty", subject="a.pdf", fix="save it again")))
    assert (error.subject, error.problem, error.fix) == ("a.pdf", "empty", "save it again")
    assert str(error) == "a.pdf: empty; save it again"


def _caught(raises) -> InputError:
    with pytest.raises(InputError) as caught:
        try:
            raises()
        except Exception as error:
            raise InputError("it failed") from error
    return caught.value


def test_only_the_users_own_code_is_shown():
    def mine() -> None:
        [][0]

    told = users_traceback(_caught(mine))
    assert "in mine" in told and told.endswith("IndexError: list index out of range\n")
    import json

    # From Python's own files on, or raised without a cause: nothing of the user's.
    program = compile("import json; json.loads('{')", json.__file__, "exec")
    error = InputError("it failed")
    try:
        exec(program)
    except ValueError as cause:
        assert cause.__traceback__ is not None
        error.__cause__ = cause.with_traceback(cause.__traceback__.tb_next)
    assert users_traceback(error) == "" == users_traceback(InputError("alone"))
