"""Policies as the aggregator needs them: token, problems, and the status that they have."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mnp_core.classes import define
from mnp_core.conditions.status import PolicyFacts
from mnp_core.conditions.tokens import policy_token
from mnp_core.errors import InputError
from mnp_core.model import ObjectName, ObjectRef, Reason, Report
from mnp_core.model.kinds import POLICY
from mnp_core.model.parsing import parse_policy
from mnp_core.model.policy import Enforcement

_object = msgspec.json.Decoder(dict[str, Any])


@define
class KnownPolicy:
    """A policy.

    Attributes:
        token: Of its contents.
        version: Its resourceVersion.
        facts: Its generation and problems.
        status: The status that it has.
    """

    token: int
    version: str
    facts: PolicyFacts
    status: object


def read_policy(name: ObjectName, raw: bytes, known: KnownPolicy | None) -> KnownPolicy:
    """Read a policy; one whose contents are known is not parsed again."""
    token = policy_token(name, raw)
    try:
        found = _object.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        found = {}
    metadata = found.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    generation = metadata.get("generation")
    unchanged = known is not None and known.token == token
    reports, audited = (known.facts.reports, known.facts.audited) if known and unchanged else _parsed(name, found)
    facts = PolicyFacts(generation=generation if isinstance(generation, int) else 0, reports=reports, audited=audited)
    return KnownPolicy(
        token=token, version=str(metadata.get("resourceVersion") or ""), facts=facts, status=found.get("status")
    )


def _parsed(name: ObjectName, found: Mapping[str, Any]) -> tuple[tuple[Report, ...], bool]:
    """The reports of a policy, and whether it is audited."""
    try:
        policy, reports = parse_policy(found)
    except (InputError, RecursionError) as error:
        message = error.message if isinstance(error, InputError) else "it is nested too deeply"
        about = ObjectRef(POLICY.kind, name)
        remedy = "Write the policy anew"
        return (Report(about=about, field="", reason=Reason.MALFORMED, message=message, remedy=remedy),), False
    return reports, policy.enforcement is Enforcement.AUDIT
