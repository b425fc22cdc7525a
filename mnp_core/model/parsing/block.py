"""ipBlock: a CIDR and its excepts (networking.k8s.io/v1 IPBlock, S23)."""

from mnp_core.model.address import Block, Cidr, cidr_order, covers, parse_cidr
from mnp_core.model.parsing.field import Field, Refusal
from mnp_core.model.report import Reason


def parse_block(field: Field) -> Block:
    """Read an ipBlock. An except that does not touch the CIDR is reported and left out.

    Raises:
        Refusal: Nothing is left of it, or the rest is unknown: without an unreadable except, more
            would be allowed than is meant.
    """
    if not field.is_mapping:
        raise _refusal(field, f"{field} is not an ipBlock", "Write cidr and except")
    if unknown := field.unknown_keys({"cidr", "except"}):
        raise _refusal(field, f"an ipBlock has no field {unknown}", "Write cidr and except")
    cidr = _cidr(field.child("cidr"))
    excepts = sorted(set(_excepts(field.child("except"), cidr)), key=cidr_order)
    if any(covers(block, cidr) for block in excepts):
        raise _refusal(field.child("except"), f"nothing is left of {cidr}", "Write excepts smaller than the cidr")
    return Block(cidr=cidr, excepts=tuple(excepts))


def _excepts(field: Field, cidr: Cidr) -> list[Cidr]:
    elements = field.elements()
    if elements is None:
        raise _refusal(field, f"{field} is not a list of blocks", "Write a list of blocks inside the cidr")
    return [block for element in elements if _cuts(element, block := _cidr(element), cidr)]


def _cuts(field: Field, block: Cidr, cidr: Cidr) -> bool:
    """Whether an except has a part in the CIDR. Two blocks are nested or disjoint, nothing else."""
    if covers(cidr, block) or covers(block, cidr):
        return True
    problem = f"{block} does not lie in {cidr}: it is ignored"
    field.report(Reason.INVALID_BLOCK, problem, "Write a block inside the cidr, or leave it out")
    return False


def _cidr(field: Field) -> Cidr:
    try:
        return parse_cidr(field.value)
    except ValueError:
        problem = "the block is missing" if field.is_missing else f"{field} is not a block in CIDR notation"
        raise _refusal(field, problem, "Write a block such as 10.0.0.0/24 or 2001:db8::/64") from None


def _refusal(field: Field, problem: str, remedy: str) -> Refusal:
    return field.refusal(Reason.INVALID_BLOCK, problem, remedy)
