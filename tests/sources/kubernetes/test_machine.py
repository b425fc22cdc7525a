"""Any history of a cluster with any faults: the recorded objects are the existing ones, never others (S61, S62)."""

from contextlib import ExitStack

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mnp_core.testing.apiserver import Answer, Cut, FakeApiServer, Fault, Garbage, Hang, ServedResource, Slow
from tests.sources.kubernetes.recording import following, pod, policy, until

POLICIES = "multi-networkpolicies"
KINDS = {"pods": "Pod", POLICIES: "MultiNetworkPolicy"}
names = st.sampled_from(["a", "b", "c", "d"])
plurals = st.sampled_from(sorted(KINDS))

faults = st.one_of(
    st.builds(Fault),
    st.builds(Cut, after=st.integers(0, 700)),
    st.builds(Garbage, body=st.binary(max_size=20) | st.sampled_from([b"{}", b'{"items": []}', b"null\n" * 3])),
    st.builds(Answer, status=st.sampled_from([400, 401, 403, 404, 410, 429, 500, 503])),
    st.builds(Hang, seconds=st.just(0.2), head=st.booleans()),
    st.builds(Slow, size=st.integers(1, 200), pause=st.just(0.0005)),
)


class Cluster(RuleBasedStateMachine):
    """A cluster in which anything may happen, and a source that follows it."""

    @initialize(present=st.lists(st.tuples(plurals, names, st.integers(0, 2)), max_size=5))
    def begin(self, present):
        self.exits = ExitStack()
        self.server = self.exits.enter_context(FakeApiServer())
        self.server.bookmark_every = 0.05
        self.past = {}
        for plural, name, value in present:
            self.put(plural, name, value)
        self.source, self.recorded = self.exits.enter_context(
            following(self.server, stream_timeout=2.0, complete=False)
        )

    def became(self, plural, name, state):
        states = self.past.setdefault((KINDS[plural], name), [None])
        if states[-1] != state:
            states.append(state)

    @rule(plural=plurals, name=names, value=st.integers(0, 2))
    def put(self, plural, name, value):
        if plural == "pods":
            made = self.server.put(plural, pod(name, value=str(value)))
            self.became(plural, name, (made["metadata"]["uid"], str(value)))
        else:
            self.server.put(plural, policy(name, podSelector={"matchLabels": {"value": str(value)}}))
            self.became(plural, name, str(value))

    @rule(plural=plurals, name=names)
    def delete(self, plural, name):
        if any(each["metadata"]["name"] == name for each in self.server.store.objects(plural)):
            self.server.delete(plural, name, "default")
            self.became(plural, name, None)

    @rule(name=names)
    def finish(self, name):
        self.server.put("pods", {**pod(name), "status": {"phase": "Succeeded"}})
        self.became("pods", name, None)

    @rule()
    def compact(self):
        self.server.compact()

    @rule()
    def cut(self):
        self.server.cut()

    @rule()
    def end_watches(self):
        self.server.end_watches()

    @rule(fault=faults, watch=st.sampled_from([True, False, None]), times=st.integers(1, 4))
    def fail(self, fault, watch, times):
        self.server.fail(evolve(fault, watch=watch, times=times))
        self.server.cut()

    @rule(versions=st.sampled_from([("v1beta1",), ("v1beta2",), ("v1beta1", "v1beta2")]))
    def serve(self, versions):
        self.server.serve(ServedResource("k8s.cni.cncf.io", "MultiNetworkPolicy", POLICIES, versions))

    @rule(moment=st.sampled_from([0.0, 0.01, 0.1]))
    def let_it_run(self, moment):
        self.server.store.changed.acquire()
        self.server.store.changed.wait(moment)
        self.server.store.changed.release()

    @precondition(lambda self: hasattr(self, "server"))
    @rule()
    def quiet(self):
        self.server.heal()
        until(self.is_right, "the state of the cluster")
        self.check_history()

    def is_right(self):
        wanted = {key: states[-1] for key, states in self.past.items() if states[-1] is not None}
        with self.recorded.lock:
            found = {(ref.kind, ref.name.name): state(value) for ref, value in self.recorded.there.items()}
        return found == wanted

    def check_history(self):
        """The recorded states of each object are its states, in order."""
        with self.recorded.lock:
            recorded = [
                ((change.ref.kind, change.ref.name.name), state(change.object)) for change in self.recorded.changes
            ]
        for key in {key for key, _ in recorded}:
            rest = iter(self.past[key])
            seen = [each for of, each in recorded if of == key]
            assert all(any(was == each for was in rest) for each in seen), f"{key}: {seen} of {self.past[key]}"

    def teardown(self):
        if hasattr(self, "exits"):
            with self.exits:
                self.quiet()


def state(value):
    """The part of an object that the histories here consist of."""
    if value is None:
        return None
    if hasattr(value, "labels"):
        return value.uid, value.labels["value"]
    [requirement] = value.pod_selector.requirements
    return min(requirement.values)


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=25, stateful_step_count=20)
