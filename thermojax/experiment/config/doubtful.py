"""Scalars of YAML that people and parsers do not read alike: 010, 1:30, on.

YAML 1.1, which is what is read here, takes 010 for 8, 1:30 for 90 and on for true; YAML 1.2, and
whoever types it, may mean something else. What has one meaning stays: 1_000, 0x1F, 1e3, true.
"""

from __future__ import annotations

import math
import re

import yaml

OCTAL = re.compile(r"[-+]?0[0-9_]+")
SIXTIES = re.compile(r"[-+]?([1-9][0-9_]*(:[0-5]?[0-9])+|[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*)")
GROUPED = re.compile(r"[-+]?(0[xb])?[0-9a-fA-F_.]+([eE][-+]?[0-9]+)?")
WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
DECIMAL = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?")


def doubt(text: str) -> str:
    """Both readings of a plain scalar, wherever it stands; empty where there is one.

    In the words of a sentence: `010 could be 10 or, in octal digits as in YAML 1.1, 8: ...`.
    """
    if OCTAL.fullmatch(text):
        ten, eight = (
            int(text.replace("_", "")),
            yaml.safe_load(text),
        )  # a text where it holds 8 or 9
        other, write = "a text", f"{ten}"
        if isinstance(eight, int) and eight != ten:
            other, write = f"{eight}, in octal digits as in YAML 1.1", f"{ten} or {eight}"
        return f"{text} could be {ten} or {other}: write {write}, or '{text}' in quotes for a text"
    if SIXTIES.fullmatch(text):
        number = f"{yaml.safe_load(text):.15g}"
        return (
            f"{text} could be a text or {number}, in base 60 as in YAML 1.1: write {number}, or "
            f"'{text}' in quotes for a text"
        )
    if "_" in text and GROUPED.fullmatch(text) and any(x.isdigit() for x in text):
        return underscores(text)
    if DECIMAL.fullmatch(text):
        return too_far(text)
    return ""


def underscores(text: str) -> str:
    """1_000 is a number to everybody who takes underscores; 1__0 or 1_ is one to YAML 1.1 only."""
    try:
        int(text, 0) if re.search("[xb]", text) or text.isdecimal() else float(text)
    except ValueError:
        bare = text.replace("_", "")
        if yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))[-3:] == "str":
            return ""  # a text to all
        return f"{text} could be {bare} or a text: write {bare}, or '{text}' in quotes for a text"
    return ""


def too_far(text: str) -> str:
    """The value that a float makes of a number too far for it: infinity of 1e400, 0 of 1e-400."""
    number = float(text)
    if math.isinf(number):
        return f"{text} is larger than any floating number: write a smaller one, or .inf"
    if number == 0 and re.search("[1-9]", re.split("[eE]", text)[0]):
        return f"{text} is smaller than any floating number: write a larger one, or 0"
    return ""


def meant(text: str) -> str:
    """Both readings of a word that YAML 1.1 takes for true or false; empty for any other text."""
    truth = WORDS.get(text.lower())
    if truth is None or text not in (text.lower(), text.upper(), text.capitalize()):
        return ""
    both = f"the text '{text}' or {truth}, as in YAML 1.1"
    return f"could be {both}: write '{text}' in quotes, or {truth}"
