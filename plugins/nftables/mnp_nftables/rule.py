"""A rule and a chain: text and expressions, side by side."""

from typing import Self, TypeGuard

from attrs import evolve, field, frozen

from mnp_core.netfilter import uapi
from mnp_core.netfilter.attributes import attribute, nested
from mnp_core.netfilter.nf_tables import userdata_of
from mnp_nftables.content import rule_content, rules_digest
from mnp_nftables.terms import Code, Term


@frozen(kw_only=True)
class Rule:
    """A rule.

    Attributes:
        text: The line of nft.
        code: Its expressions.
        userdata: The comment, which the kernel keeps for user space.
        prepared: Its content in the form for comparison and its attributes in a message; None until it is prepared.
    """

    text: str
    code: tuple[Code, ...]
    userdata: bytes = b""
    prepared: tuple[bytes, bytes] | None = field(default=None, repr=False, eq=False)

    @classmethod
    def of(cls, term: Term, comment: str = "", remark: str = "") -> Self:
        """A rule, perhaps with a comment that the kernel keeps, and a remark that only the text has."""
        text = f'{term.words} comment "{comment}"' if comment else term.words
        text = f"{text} # {remark}" if remark else text
        return cls(text=text, code=term.code, userdata=userdata_of(comment) if comment else b"")

    def prepare(self) -> Self:
        """The rule with what each ruleset needs of it, if it comes in many; unchanged if it has a set of its own."""
        if not all(map(_is_bytes, self.code)):
            return self
        return evolve(self, prepared=(self.content, self.body(b"".join(filter(_is_bytes, self.code)))))

    @property
    def content(self) -> bytes:
        """Its canonical content."""
        return self.prepared[0] if self.prepared is not None else rule_content(self.code, self.userdata)

    def body(self, expressions: bytes) -> bytes:
        """The attributes of its message, apart from its place."""
        comment = attribute(uapi.NFTA_RULE_USERDATA, self.userdata) if self.userdata else b""
        return nested(uapi.NFTA_RULE_EXPRESSIONS, expressions) + comment


def _is_bytes(code: Code) -> TypeGuard[bytes]:
    return isinstance(code, bytes)


@frozen(kw_only=True)
class Chain:
    """A chain.

    Attributes:
        name: Its name.
        rules: Its rules.
        digest: Of its rules.
    """

    name: str
    rules: tuple[Rule, ...]
    digest: bytes = field(init=False, repr=False, eq=False)

    @digest.default
    def _digest(self) -> bytes:
        return rules_digest([rule.content for rule in self.rules])
