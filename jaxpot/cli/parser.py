"""Parsers of the command line: every mistake is a `UsageError`, and an unknown flag is reported before all others."""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from jaxpot.errors import JaxpotError

_ALIKE = 0.75  # of 1: how much a flag must be like another one to be suggested


class UsageError(JaxpotError):
    """The command line itself cannot be understood."""


class Parser(argparse.ArgumentParser):
    """The parser of `jaxpot` itself, whose flags stand before the command."""

    flag_hint = "; flags of a command stand after its name"

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        before = []
        for word in args:
            if not word.startswith("-"):
                break
            before.append(word)
        self.refuse_unknown(before)
        return super().parse_known_args(args, namespace)

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse the first unknown flag, and suggest the known one with the closest spelling."""
        flags = list(self._option_string_actions)
        for word in words:
            flag = word.partition("=")[0]
            if word == "--":
                return
            if not word.startswith("-") or word == "-" or " " in flag or _is_number(word):
                continue
            # As argparse takes them: the beginning of a long flag, and values that follow a short one at once.
            if any(known.startswith(flag) if flag.startswith("--") else known == flag[:2] for known in flags):
                continue
            closest = difflib.get_close_matches(flag, flags, n=1, cutoff=_ALIKE)
            hint = f"; did you mean {closest[0]}?" if closest else ""
            raise UsageError(f"`{self.prog}` has no flag {flag}{hint or self.flag_hint} (see `{self.prog} --help`)")


class CommandParser(Parser):
    """The parser of one command.

    Args:
        words: the whole command line, so that arguments may depend on it (`model.model_argument`).

    Attributes:
        about_words: what more there is to say of the words that stand for themselves.
        behind_dashes: name of the option that all words behind -- are, where a command passes them on.
    """

    flag_hint = ""

    def __init__(self, *args: Any, words: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.words, self.about_words = tuple(words), ""
        self.behind_dashes: str | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        args = list(args)
        self.refuse_unknown(args)
        self.words = tuple(args)
        behind = []
        if self.behind_dashes and "--" in args:
            args, behind = args[: args.index("--")], args[args.index("--") + 1 :]
        options, more = argparse.ArgumentParser.parse_known_args(self, args, namespace)
        if self.behind_dashes:
            setattr(options, self.behind_dashes, behind)
        if more:
            self.error(f"a word too many: {' '.join(more)}; `{self.prog}` takes {self.usage_of_words()}")
        return options, more

    def error(self, message: str) -> NoReturn:
        if message.startswith("the following arguments are required"):
            message += f"; `{self.prog}` takes {self.usage_of_words()}"
            flag, taken = self._greedy()
            if flag is not None:
                message += (
                    f"; {flag} takes all words up to the next flag, here {' '.join(taken)}: write other words before it"
                )
        super().error(message)

    def usage_of_words(self) -> str:
        """Positional arguments as the usage shows them, such as MODEL STRUCTURES."""
        names = [str(action.metavar or action.dest) for action in self._get_positional_actions()]
        return (" ".join(names) or "flags only, no words") + self.about_words

    def _greedy(self):
        """The first flag that has taken several words, and those; (None, None) if there is none."""
        for at, word in enumerate(self.words):
            action = self._option_string_actions.get(word)
            if action is None or action.nargs != "+":
                continue
            taken = []
            for other in self.words[at + 1:]:
                if other.startswith("-"):
                    break
                taken.append(other)
            if len(taken) > 1:
                return word, taken
        return None, None


def _is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True
