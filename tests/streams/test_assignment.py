"""Partitions of a group: who works on them, who copies their state, and that it comes to rest."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streams.fast_lane.assignment import Claim, Share, share_out

JOURNAL = "journal"
ORDERS = "orders"
TOPICS = {JOURNAL: 12, ORDERS: 7}


@st.composite
def claims(draw: st.DrawFn) -> dict[str, Claim]:
    """Members that join with what they have: owners of this round or of an older one, copies, both
    or nothing. No partition has two owners in one round.
    """
    members = [f"m{n}" for n in range(draw(st.integers(1, 5)))]
    rounds = {member: draw(st.integers(3, 4)) for member in members}
    owner = {
        (topic, partition): draw(st.sampled_from([*members, None]))
        for topic, count in TOPICS.items()
        for partition in range(count)
    }
    return {
        member: Claim(
            worker=member,
            topics=sorted(TOPICS),
            round=rounds[member],
            owns={topic: [p for (t, p), one in owner.items() if (t, one) == (topic, member)]
                  for topic in TOPICS},
            ready={JOURNAL: draw(st.lists(st.integers(0, TOPICS[JOURNAL] - 1), unique=True))},
        )
        for member in members
    }  # fmt: skip


def shared(claims: dict[str, Claim], standbys: int = 1) -> dict[str, Share]:
    return share_out(TOPICS, claims, stateful=[JOURNAL], standbys=standbys)


def next_claims(shares: dict[str, Share]) -> dict[str, Claim]:
    """The members join again when they have copied what they were told to."""
    return {
        member: Claim(
            worker=member,
            topics=sorted(TOPICS),
            round=share.round,
            owns=share.active,
            ready={JOURNAL: sorted(share.copies(JOURNAL))},
        )
        for member, share in shares.items()
    }


def at_rest(claims: dict[str, Claim]) -> dict[str, Claim]:
    """What the members have once nobody asks for another round, which must be soon."""
    for _ in range(4):
        shares = shared(claims)
        claims = next_claims(shares)
        if not any(share.warming for share in shares.values()):
            return claims
    raise AssertionError("they go on asking for another round")


@given(claims(), st.integers(0, 3))
def test_every_partition_has_one_owner_and_its_standbys_are_others(
    claims: dict[str, Claim], standbys: int
) -> None:
    shares = shared(claims, standbys)
    for topic, count in TOPICS.items():
        owners = Counter(p for share in shares.values() for p in share.active.get(topic, []))
        assert owners == Counter(range(count))
    for share in shares.values():
        assert not share.copies(JOURNAL) & set(share.active.get(JOURNAL, []))
        assert not share.copies(ORDERS), "there is no state to copy"
    if len(claims) > standbys:
        for partition in range(TOPICS[JOURNAL]):
            copies = sum(partition in share.copies(JOURNAL) for share in shares.values())
            assert copies >= standbys


@given(claims())
def test_nobody_works_on_a_partition_whose_state_only_others_have(claims: dict[str, Claim]) -> None:
    last = max(claim.round for claim in claims.values())
    shares = shared(claims)
    for partition in range(TOPICS[JOURNAL]):
        having = {
            member
            for member, claim in claims.items()
            if partition in claim.ready.get(JOURNAL, [])
            or (claim.round == last and partition in claim.owns.get(JOURNAL, []))
        }
        worker = next(m for m, s in shares.items() if partition in s.active.get(JOURNAL, []))
        assert not having or worker in having


@given(claims())
def test_it_comes_to_rest_with_everybody_having_as_much(claims: dict[str, Claim]) -> None:
    rested = at_rest(claims)
    for topic in TOPICS:
        loads = [len(claim.owns.get(topic, [])) for claim in rested.values()]
        assert max(loads) - min(loads) <= 1
    again = shared(rested)
    assert {m: share.active for m, share in again.items()} == {
        m: claim.owns for m, claim in rested.items()
    }


@given(claims(), st.data())
def test_when_one_goes_what_the_others_work_on_stays_with_them(
    claims: dict[str, Claim], data: st.DataObject
) -> None:
    rested = at_rest(claims)
    if len(rested) == 1:
        return
    gone = data.draw(st.sampled_from(sorted(rested)))
    left = {member: claim for member, claim in rested.items() if member != gone}
    for member, share in shared(left).items():
        for topic in TOPICS:
            kept = set(left[member].owns.get(topic, []))
            assert kept <= set(share.active.get(topic, []))
            taken = set(share.active.get(topic, [])) - kept
            assert taken <= set(rested[gone].owns.get(topic, []))


def test_a_worker_without_state_warms_up_before_it_is_given_any() -> None:
    alone = shared({"a": Claim("a", sorted(TOPICS))})
    joined = shared({**next_claims(alone), "b": Claim("b", sorted(TOPICS))}, standbys=0)
    assert joined["b"].active.get(JOURNAL, []) == []
    assert len(joined["b"].warming[JOURNAL]) == TOPICS[JOURNAL] // 2
    assert joined["b"].active[ORDERS], "what has no state moves at once"
    warm = shared(next_claims(joined), standbys=0)
    assert warm["b"].active[JOURNAL] == joined["b"].warming[JOURNAL]
