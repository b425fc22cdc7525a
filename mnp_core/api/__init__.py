"""The plugin API: descriptors that hooks register, and the Protocols behind them that do the work.

A descriptor is data (a name, what it claims) with a factory; the factory is called when the thing is first needed, in
the process that needs it. Names are lower case and unique among all loaded plugins.

Everything an applier does happens on a thread that the core has put into the pod's network namespace and checked by
device and inode: a plugin never enters a namespace itself, so rules on the host are out of its reach.
"""

from mnp_core.api.addresses import AddressSourceSpec
from mnp_core.api.appliers import (
    CommitAnnouncer,
    ConnectionTracker,
    CustomRuleChecker,
    DifferenceApplier,
    EvictionCounter,
    NodeState,
    PathApplier,
    QuickGeneration,
    RuleApplier,
    RuleApplierSpec,
    RuleLocator,
    RuleVerifier,
    RuleWatcher,
    Support,
    TwoPhaseApplier,
)
from mnp_core.api.discovery import (
    Discovery,
    InterfaceDiscoverer,
    InterfaceDiscovererSpec,
)
from mnp_core.api.gates import (
    Admission,
    Decision,
    Gate,
    GateInterface,
    Gatekeeper,
    GateSpec,
    PodStart,
)
from mnp_core.api.kinds import (
    CommandSpec,
    Named,
    PolicyKindSpec,
)
from mnp_core.api.rendering import (
    BlocksRenderer,
    PolicyRenderer,
    PolicyRendererSpec,
    SandboxDeltaRenderer,
)
from mnp_core.api.results import (
    Failure,
    Outcome,
    Result,
    Sync,
)
from mnp_core.api.sandboxes import (
    Sandbox,
    SandboxLocator,
    SandboxLocatorSpec,
)

__all__ = [
    "AddressSourceSpec",
    "Admission",
    "BlocksRenderer",
    "CommandSpec",
    "CommitAnnouncer",
    "ConnectionTracker",
    "CustomRuleChecker",
    "Decision",
    "DifferenceApplier",
    "Discovery",
    "EvictionCounter",
    "Failure",
    "Gate",
    "GateInterface",
    "GateSpec",
    "Gatekeeper",
    "InterfaceDiscoverer",
    "InterfaceDiscovererSpec",
    "Named",
    "NodeState",
    "Outcome",
    "PathApplier",
    "PodStart",
    "PolicyKindSpec",
    "PolicyRenderer",
    "PolicyRendererSpec",
    "QuickGeneration",
    "Result",
    "RuleApplier",
    "RuleApplierSpec",
    "RuleLocator",
    "RuleVerifier",
    "RuleWatcher",
    "Sandbox",
    "SandboxDeltaRenderer",
    "SandboxLocator",
    "SandboxLocatorSpec",
    "Support",
    "Sync",
    "TwoPhaseApplier",
]
