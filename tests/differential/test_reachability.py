"""The matrix of a random cluster is `evaluate`, asked pair by pair."""

from itertools import combinations

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from mnp_core.cli.objects import decode_objects
from mnp_core.model import Protocol, parse_address
from mnp_core.offline.probe import ProbeSpec
from mnp_core.offline.reach import End, answers, grouped
from mnp_core.plugins import load_plugins
from mnp_core.policy.ends import Flow
from mnp_core.policy.explain import explain
from mnp_core.policy.reachability import Reachability
from mnp_core.settings import Settings
from mnp_core.sources.manifests import Document
from mnp_core.testing.suites.differential.evaluated import Evaluated
from mnp_core.testing.suites.differential.profile import SEED, in_proportion
from mnp_core.testing.suites.differential.strategies import OUTSIDE, clusters
from mnp_core.testing.suites.reference.naive import End as NaiveEnd

PROFILE = settings.get_profile("differential")
QUESTIONS = [(Protocol.TCP, 80), (Protocol.TCP, 81), (Protocol.UDP, 79), (Protocol.SCTP, 65535)]
SPECS = [ProbeSpec(protocol=protocol, port=port) for protocol, port in QUESTIONS]
FLOWS = [Flow(protocol=protocol, port=port) for protocol, port in QUESTIONS]


def objects_of(cluster):
    documents = [Document(where="", raw=raw) for raw in cluster.objects]
    return decode_objects(documents, load_plugins(), Settings())


def ends_of(objects):
    pods = [End.pod(objects.host(name), ()) for name in sorted(objects.pods)]
    return [*pods, *(End.outside(text, parse_address(text), ()) for text in OUTSIDE)]


def ends_for_evaluate(way):
    return [
        NaiveEnd(
            address=str(side.address),
            pod=str(side.attachment.pod) if side.attachment else None,
            interface=side.attachment.interface if side.attachment else "",
        )
        for side in (way.source, way.destination)
    ]


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=in_proportion(50))
@given(clusters())
def test_the_matrix_is_evaluate_pair_by_pair(cluster):
    """S1 to S32, S44."""
    evaluated = Evaluated()
    evaluated.become(cluster.objects)
    objects = objects_of(cluster)
    ends = ends_of(objects)
    reach = Reachability([end.party for end in ends], objects.wires)
    for answer in answers(reach, ends, ends, lambda _: SPECS):
        question = answer.spec.protocol.name, answer.spec.port
        assert answer.way.allowed is evaluated.allowed(*ends_for_evaluate(answer.way), *question)


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=in_proportion(50))
@given(clusters())
def test_the_matrix_explains_as_explain_does(cluster):
    objects = objects_of(cluster)
    ends = ends_of(objects)
    reach = Reachability([end.party for end in ends], objects.wires)
    for source in ends:
        for destination in ends:
            ways = tuple(reach.ways(source.party, destination.party, FLOWS))
            assert ways == tuple(
                way for flow in FLOWS for way in explain(source.party, destination.party, flow, objects.wires)
            )


@seed(int(SEED or 0))
@settings(PROFILE, max_examples=in_proportion(50))
@given(clusters(), st.data())
def test_pods_of_one_group_have_the_answers_of_the_group(cluster, data):
    objects = objects_of(cluster)
    ends = ends_of(objects)
    reach = Reachability([end.party for end in ends], objects.wires)
    by_name = {end.name: end.party for end in ends}
    groups = grouped(reach, ends)
    assert sorted(name for group in groups for name in group.members) == sorted(by_name)
    for group in groups:
        for one, other in combinations([by_name[name] for name in group.members], 2):
            third = by_name[data.draw(st.sampled_from(sorted(by_name)))]
            if third not in (one, other):
                assert verdicts(reach, one, third) == verdicts(reach, other, third)
                assert verdicts(reach, third, one) == verdicts(reach, third, other)


def verdicts(reach, source, destination):
    return [(way.network, way.flow, way.allowed) for way in reach.ways(source, destination, FLOWS)]
