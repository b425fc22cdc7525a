"""Frozen values: Kubernetes objects as we need them, attachments, and the intermediate representation of policy.

No I/O, no clock, no logging. Parsing, which turns decoded JSON or YAML into these, is in `mnp_core.model.parsing`.
"""

from mnp_core.model.address import (
    Address,
    AddressRange,
    Block,
    Cidr,
    Family,
    address_ranges,
    parse_address,
    parse_cidr,
)
from mnp_core.model.attachment import UNKNOWN_KIND, AddressSource, Attachment
from mnp_core.model.change import Change, KubernetesObject
from mnp_core.model.denied_log import DeniedLog, LoggedVerdict, LogMark
from mnp_core.model.group import (
    AddressGroup,
    Endpoint,
    EndpointGroup,
    Group,
    GroupDelta,
    GroupSpec,
)
from mnp_core.model.link import Link
from mnp_core.model.names import ObjectName, ObjectRef
from mnp_core.model.namespace import Namespace
from mnp_core.model.network import Network
from mnp_core.model.packet import Packet, Verdict
from mnp_core.model.pod import NetworkRequest, NetworkStatus, Pod
from mnp_core.model.policy import (
    ANY_PEER,
    ANY_PORT,
    AnyPeer,
    AnyPort,
    Direction,
    PodPeer,
    Policy,
    PolicyPeer,
    PolicyPort,
    PolicyRule,
    Scope,
)
from mnp_core.model.port import PORT_PROTOCOLS, ContainerPort, NamedPort, PortRange, Protocol
from mnp_core.model.report import OPEN_REASONS, Reason, Report, Severity
from mnp_core.model.rules import (
    OPEN,
    Allow,
    AllowEndpoints,
    AllowRule,
    CommonRules,
    CustomRules,
    DenyAction,
    DirectionPolicy,
    EstablishedFlows,
    Feature,
    InterfacePolicy,
    Isolated,
    Open,
    Origin,
    Peers,
    Ports,
    SandboxPolicy,
)
from mnp_core.model.ruleset import Delta, Installed, RuleCounter, Ruleset
from mnp_core.model.selector import EVERYTHING, NOTHING, Operator, Requirement, Selector

__all__ = [
    "ANY_PEER",
    "ANY_PORT",
    "EVERYTHING",
    "NOTHING",
    "OPEN",
    "OPEN_REASONS",
    "PORT_PROTOCOLS",
    "UNKNOWN_KIND",
    "Address",
    "AddressGroup",
    "AddressRange",
    "AddressSource",
    "Allow",
    "AllowEndpoints",
    "AllowRule",
    "AnyPeer",
    "AnyPort",
    "Attachment",
    "Block",
    "Change",
    "Cidr",
    "CommonRules",
    "ContainerPort",
    "CustomRules",
    "Delta",
    "DeniedLog",
    "DenyAction",
    "Direction",
    "DirectionPolicy",
    "Endpoint",
    "EndpointGroup",
    "EstablishedFlows",
    "Family",
    "Feature",
    "Group",
    "GroupDelta",
    "GroupSpec",
    "Installed",
    "InterfacePolicy",
    "Isolated",
    "KubernetesObject",
    "Link",
    "LogMark",
    "LoggedVerdict",
    "NamedPort",
    "Namespace",
    "Network",
    "NetworkRequest",
    "NetworkStatus",
    "ObjectName",
    "ObjectRef",
    "Open",
    "Operator",
    "Origin",
    "Packet",
    "Peers",
    "Pod",
    "PodPeer",
    "Policy",
    "PolicyPeer",
    "PolicyPort",
    "PolicyRule",
    "PortRange",
    "Ports",
    "Protocol",
    "Reason",
    "Report",
    "Requirement",
    "RuleCounter",
    "Ruleset",
    "SandboxPolicy",
    "Scope",
    "Selector",
    "Severity",
    "Verdict",
    "address_ranges",
    "parse_address",
    "parse_cidr",
]
