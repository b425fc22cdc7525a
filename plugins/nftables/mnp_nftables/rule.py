"""A rule and a chain: text and expressions, side by side."""

from typing import Self

from attrs import frozen

from mnp_core.netfilter.nf_tables import userdata_of
from mnp_nftables.terms import Code, Term


@frozen(kw_only=True)
class Rule:
    """A rule.

    Attributes:
        text: The line of nft.
        code: Its expressions.
        userdata: The comment, which the kernel keeps for user space.
    """

    text: str
    code: tuple[Code, ...]
    userdata: bytes = b""

    @classmethod
    def of(cls, term: Term, comment: str = "", remark: str = "") -> Self:
        """A rule, perhaps with a comment that the kernel keeps, and a remark that only the text has."""
        text = f'{term.words} comment "{comment}"' if comment else term.words
        text = f"{text} # {remark}" if remark else text
        return cls(text=text, code=term.code, userdata=userdata_of(comment) if comment else b"")


@frozen(kw_only=True)
class Chain:
    """A chain: its name and its rules."""

    name: str
    rules: tuple[Rule, ...]
