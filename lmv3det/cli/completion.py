"""`lmv3det completion`: what a shell needs to complete commands and options.

Written from the parsers themselves; argcomplete would start Python at every key.
"""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det completion`."""
    parser.add_argument("shell", choices=SHELLS, help="of which shell")


def run(args: argparse.Namespace) -> int:
    """Print the script, to be evaluated by the shell, or kept where it looks for such.

    Args:
        args: with `parsers`, which gives the parser of each command by its name.
    """
    parsers = args.parsers()
    if args.shell == "fish":
        print(fish(parsers))
    else:
        options = {name: long_options(parser) for name, parser in parsers.items()}
        print(bash(options, zsh=args.shell == "zsh"))
    return 0


def long_options(parser: argparse.ArgumentParser) -> list[tuple[str, list[str]]]:
    """The long options of a command, each with the values it may have."""
    found = []
    for action in parser._actions:
        values = [str(choice) for choice in action.choices or ()]
        found += [(text, values) for text in action.option_strings if text.startswith("--")]
    return found


def bash(options: dict[str, list[tuple[str, list[str]]]], *, zsh: bool = False) -> str:
    """The script for bash, or for zsh by its bashcompinit."""
    cases = [
        f"    {name}) words='{' '.join(option for option, _ in found)}' ;;"
        for name, found in options.items()
    ]
    values = [
        f"    {name}:{option}) words='{' '.join(choices)}' ;;"
        for name, found in options.items()
        for option, choices in found
        if choices
    ]
    return "\n".join(
        [
            *(["autoload -U +X bashcompinit && bashcompinit"] if zsh else []),
            "_lmv3det() {",
            '  local words="" current="${COMP_WORDS[COMP_CWORD]}"',
            '  local before="${COMP_WORDS[COMP_CWORD-1]}" command="${COMP_WORDS[1]}"',
            "  COMPREPLY=()",
            '  if [ "$COMP_CWORD" -eq 1 ]; then',
            f"    COMPREPLY=($(compgen -W '{' '.join(options)}' -- \"$current\"))",
            "    return",
            "  fi",
            '  case "$command:$before" in',
            *values,
            "  esac",
            '  if [ -z "$words" ]; then',
            '  case "$current" in -*)',
            '  case "$command" in',
            *cases,
            "  esac ;; esac",
            "  fi",
            '  if [ -n "$words" ]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi',
            "}",
            "complete -o default -F _lmv3det lmv3det",
        ]
    )


def fish(parsers: dict[str, argparse.ArgumentParser]) -> str:
    """The script for fish."""
    lines = []
    for name, parser in parsers.items():
        about = str(parser.description).replace("'", "")
        lines.append(f"complete -c lmv3det -n __fish_use_subcommand -f -a {name} -d '{about}'")
        for option, choices in long_options(parser):
            given = f" -x -a '{' '.join(choices)}'" if choices else ""
            within = f"-n '__fish_seen_subcommand_from {name}'"
            lines.append(f"complete -c lmv3det {within} -l {option[2:]}{given}")
    return "\n".join(lines)
