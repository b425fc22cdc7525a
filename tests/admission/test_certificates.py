"""Certificates over the years: nobody ever meets one that is not trusted."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from cryptography import x509

from mnp_core.admission.certificates import AUTHORITY_LIFE, SERVING_LIFE, Certificates, renewed, serving_context

HOSTS = ("mnp-admit.kube-system.svc", "192.0.2.1")
START = datetime(2026, 1, 1, tzinfo=UTC)


def authorities(known):
    return x509.load_pem_x509_certificates(known.authorities)


def serving(known):
    return x509.load_pem_x509_certificate(known.certificate)


def is_trusted(certificate, by):
    for authority in by:
        try:
            certificate.verify_directly_issued_by(authority)
        except Exception:  # noqa: BLE001, S112 - any of them says no
            continue
        return True
    return False


def test_the_first_ones_are_for_these_hosts_and_last():
    known = renewed(Certificates(), HOSTS, START)
    names = serving(known).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each.value) for each in names] == list(HOSTS)
    assert serving(known).not_valid_after_utc == START + SERVING_LIFE
    assert known.expires == (START + SERVING_LIFE).timestamp()
    (authority,) = authorities(known)
    assert authority.not_valid_after_utc == START + AUTHORITY_LIFE
    assert is_trusted(serving(known), [authority])
    assert renewed(known, HOSTS, START + timedelta(days=10)) == known


def test_three_years_pass_without_a_moment_of_mistrust():
    """Each replica looks every eight hours; API servers trust what they were told by the look before."""
    known, now = renewed(Certificates(), HOSTS, START), START
    told, changes, seen = authorities(known), 0, set()
    while now < START + 3 * timedelta(days=365):
        now += timedelta(hours=8)
        after = renewed(known, HOSTS, now)
        assert is_trusted(serving(after), told)
        assert serving(after).not_valid_before_utc <= now
        assert serving(after).not_valid_after_utc > now + SERVING_LIFE / 4
        assert all(each.not_valid_after_utc > now for each in authorities(after))
        changes += after.certificate != known.certificate
        seen.add(after.authority_key)
        known, told = after, authorities(after)
    assert 50 < changes < 70
    assert len(seen) == 5


def test_a_new_authority_signs_only_when_it_is_trusted_everywhere():
    known = renewed(Certificates(), HOSTS, START)
    day = START + AUTHORITY_LIFE * 0.7
    known = renewed(known, HOSTS, day - timedelta(days=25))  # a certificate that is still good then
    after = renewed(known, HOSTS, day)
    assert len(authorities(after)) == 2
    later = renewed(after, HOSTS, day + timedelta(minutes=9))
    assert later == after
    assert is_trusted(serving(after), authorities(after)[1:])
    done = renewed(after, HOSTS, day + timedelta(minutes=11))
    assert is_trusted(serving(done), authorities(done)[:1])


@pytest.mark.parametrize("field", ["authorities", "authority_key", "certificate", "key"])
@pytest.mark.parametrize("broken", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_somebody_broke_is_made_anew(field, broken):
    known = renewed(Certificates(), HOSTS, START)
    mended = renewed(evolve(known, **{field: broken}), HOSTS, START)
    assert is_trusted(serving(mended), authorities(mended))
    assert renewed(mended, HOSTS, START) == mended
    serving_context(mended)


def test_keys_of_others_count_as_missing():
    known, other = renewed(Certificates(), HOSTS, START), renewed(Certificates(), HOSTS, START)
    for mixed in (evolve(known, key=other.key), evolve(known, authority_key=other.authority_key)):
        mended = renewed(mixed, HOSTS, START)
        assert mended != mixed
        assert is_trusted(serving(mended), authorities(mended))


def test_other_hosts_need_another_certificate_and_no_other_authority():
    known = renewed(Certificates(), HOSTS, START)
    after = renewed(known, ("other.example",), START)
    assert after.authorities == known.authorities
    assert after.certificate != known.certificate


def test_a_secret_keeps_them_and_junk_in_it_counts_as_missing():
    known = renewed(Certificates(), HOSTS, START)
    assert Certificates.of_secret(known.as_secret()) == known
    assert Certificates.of_secret({"ca.crt": 7, "tls.crt": "§", "tls.key": None}) == Certificates()


def test_a_certificate_without_its_key_cannot_be_served():
    known = renewed(Certificates(), HOSTS, START)
    with pytest.raises(ssl.SSLError):
        serving_context(evolve(known, key=b""))
