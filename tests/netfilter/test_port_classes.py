"""Classes of ports."""

from hypothesis import given
from hypothesis import strategies as st

from mnp_core.model import PortRange, Ports, Protocol
from mnp_core.netfilter.port_classes import port_classes

lists = st.lists(
    st.builds(
        lambda protocol, first, size: PortRange(protocol=protocol, first=first, last=min(first + size, 65535)),
        st.sampled_from([Protocol.TCP, Protocol.UDP]),
        st.sampled_from([0, 1, 79, 80, 81, 65535]),
        st.sampled_from([0, 1, 10, 65535]),
    ),
    min_size=1,
    max_size=4,
).map(lambda ranges: Ports(ranges=tuple(ranges)))


@given(st.lists(lists, max_size=5))
def test_the_first_class_with_a_port_has_exactly_the_lists_with_it(several):
    """S30."""
    classes = port_classes(several)
    for protocol in (Protocol.TCP, Protocol.UDP):
        for port in (0, 1, 2, 78, 79, 80, 81, 82, 90, 91, 92, 65534, 65535, None):
            expected = {each for each in several if any(span.contains(protocol, port) for span in each.ranges)}
            found = (each for each in classes if any(span.contains(protocol, port) for span in each.ports.ranges))
            first = next(found, None)
            assert (first.lists if first else set()) == expected
