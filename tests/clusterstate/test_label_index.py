"""S10: sets give the same pods as a try of each."""

from hypothesis import given
from hypothesis import strategies as st

from mnp_core.cluster.label_index import LabelIndex
from mnp_core.model import ObjectName, Operator, Requirement, Selector

KEYS, VALUES = st.sampled_from("abc"), st.sampled_from("xyz")
LABELS = st.dictionaries(KEYS, VALUES)
REQUIREMENTS = st.one_of(
    st.builds(
        lambda key, operator, values: Requirement(key=key, operator=operator, values=values),
        KEYS,
        st.sampled_from((Operator.IN, Operator.NOT_IN)),
        st.frozensets(VALUES, min_size=1),
    ),
    st.builds(
        lambda key, operator: Requirement(key=key, operator=operator),
        KEYS,
        st.sampled_from((Operator.EXISTS, Operator.DOES_NOT_EXIST)),
    ),
)
SELECTORS = st.builds(
    lambda requirements, never: Selector(requirements=tuple(requirements), never=never),
    st.lists(REQUIREMENTS, max_size=3),
    st.booleans(),
)


@given(st.lists(st.tuples(LABELS, st.booleans()), max_size=8), SELECTORS)
def test_a_selector_finds_exactly_the_pods_that_it_matches(pods, selector):
    index = LabelIndex()
    names = {ObjectName("default", str(number)): labels for number, (labels, _) in enumerate(pods)}
    for name, labels in names.items():
        index.add(name, labels)
    for number, (labels, goes) in enumerate(pods):
        if goes:
            index.discard(ObjectName("default", str(number)), labels)
            del names[ObjectName("default", str(number))]
    assert index.select(names.keys(), selector) == {name for name in names if selector.matches(names[name])}
