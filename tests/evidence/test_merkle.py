"""The tree against published vectors, against another implementation, against itself."""

from hashlib import sha256

import aics_tlog
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofError,
    consistency_path,
    consistency_proof,
    inclusion_path,
    inclusion_proof,
    inclusion_proofs,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    tree_root,
    verify_consistency,
)

# The eight leaves used by the reference implementation of Certificate Transparency, with the
# roots it publishes for the trees over the first 1, 2, ... 8 of them.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]

sizes = st.integers(min_value=1, max_value=300)


def hashes_of(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % index) for index in range(size)]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size):
    assert tree_root(HASHES[:size]).hex() == ROOTS[size - 1]


def test_an_empty_tree_has_the_hash_of_nothing_as_its_root():
    assert tree_root([]) == Frontier().root() == EMPTY_ROOT == sha256().digest()


def test_a_leaf_can_never_pass_for_a_node():
    left, right = HASHES[:2]

    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33, 70])
def test_another_implementation_gives_the_same_roots_and_proofs(size):
    leaves = [b"%d" % index for index in range(size)]
    hashes, other = hashes_of(size), aics_tlog.MerkleTree(leaves)

    assert tree_root(hashes) == other.root()
    for index in range(size):
        assert inclusion_proof(index, hashes) == other.inclusion_proof(index)
    for old_size in range(1, size + 1):
        assert consistency_proof(old_size, hashes) == other.consistency_proof(old_size)


@given(sizes)
def test_a_frontier_grown_one_by_one_has_the_root_of_the_whole_tree(size):
    frontier = Frontier()

    frontier.extend(hashes_of(size))

    assert frontier.root() == tree_root(hashes_of(size))
    assert len(frontier.subtree_roots) == size.bit_count()


@given(sizes, sizes)
def test_a_stored_frontier_grows_on_as_if_it_had_never_been_stored(before, after):
    frontier = Frontier()
    frontier.extend(hashes_of(before))

    stored = Frontier.from_bytes(frontier.to_bytes())
    stored.extend(hashes_of(before + after)[before:])

    assert stored.root() == tree_root(hashes_of(before + after))


@settings(max_examples=60)
@given(sizes, st.data())
def test_every_entry_has_a_proof_that_leads_to_the_root(size, data):
    index = data.draw(st.integers(0, size - 1))
    hashes = hashes_of(size)

    proof = inclusion_proof(index, hashes)

    assert root_from_inclusion(index, size, hashes[index], proof) == tree_root(hashes)
    assert aics_tlog.verify_inclusion(hashes[index], index, size, proof, tree_root(hashes))


@settings(max_examples=60)
@given(st.integers(2, 300), st.data())
def test_a_proof_fits_no_other_entry_nor_a_changed_hash(size, data):
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda drawn: drawn != index))
    hashes = hashes_of(size)
    proof = inclusion_proof(index, hashes)
    place = data.draw(st.integers(0, len(proof) - 1))
    changed = [*proof[:place], sha256(proof[place]).digest(), *proof[place + 1 :]]

    assert root_from_inclusion(index, size, hashes[index], changed) != tree_root(hashes)
    try:
        root = root_from_inclusion(other, size, hashes[index], proof)
    except ProofError:
        return
    assert root != tree_root(hashes)


def test_many_proofs_are_the_same_as_one_by_one():
    hashes = hashes_of(21)

    together = inclusion_proofs(range(21), hashes)

    assert together == {index: inclusion_proof(index, hashes) for index in range(21)}


@pytest.mark.parametrize("change", [lambda proof: proof[:-1], lambda proof: [*proof, b"\0" * 32]])
def test_a_proof_that_is_too_short_or_too_long_is_refused(change):
    proof = inclusion_proof(3, HASHES)

    with pytest.raises(ProofError, match="too"):
        root_from_inclusion(3, 8, HASHES[3], change(proof))


@pytest.mark.parametrize("index", [-1, 8])
def test_there_is_no_proof_for_an_entry_outside_the_tree(index):
    with pytest.raises(ProofError, match="no leaf"):
        inclusion_proof(index, HASHES)
    with pytest.raises(ProofError, match="no leaf"):
        root_from_inclusion(index, 8, HASHES[0], [])


@settings(max_examples=60)
@given(sizes, st.data())
def test_an_older_tree_is_shown_to_be_the_beginning_of_a_newer_one(new_size, data):
    old_size = data.draw(st.integers(1, new_size))
    hashes = hashes_of(new_size)
    old_root, new_root = tree_root(hashes[:old_size]), tree_root(hashes)

    proof = consistency_proof(old_size, hashes)

    assert verify_consistency(old_size, new_size, old_root, new_root, proof)
    assert not verify_consistency(old_size, new_size, sha256(old_root).digest(), new_root, proof)
    assert not verify_consistency(old_size, new_size, old_root, sha256(new_root).digest(), proof)


@settings(max_examples=60)
@given(st.integers(2, 200), st.data())
def test_a_rewritten_past_has_no_consistency_proof(new_size, data):
    old_size = data.draw(st.integers(1, new_size - 1))
    rewritten = data.draw(st.integers(0, old_size - 1))
    honest, forged = hashes_of(new_size), hashes_of(new_size)
    forged[rewritten] = leaf_hash(b"rewritten")

    proof = consistency_proof(old_size, forged)

    old_root = tree_root(honest[:old_size])
    assert not verify_consistency(old_size, new_size, old_root, tree_root(forged), proof)


@pytest.mark.parametrize(
    "case", [(0, 8, []), (9, 8, []), (8, 8, [b"\0" * 32]), (3, 8, []), (4, 8, [b"\0" * 32] * 9)]
)
def test_impossible_consistency_proofs_are_refused(case):
    old_size, new_size, proof = case

    assert not verify_consistency(old_size, new_size, tree_root(HASHES), tree_root(HASHES), proof)


@pytest.mark.parametrize("stored", [b"", b"\0" * 7, b"\0" * 7 + b"\1", b"\0" * 8 + b"x" * 31])
def test_a_damaged_frontier_is_refused(stored):
    with pytest.raises(ProofError):
        Frontier.from_bytes(stored)


def test_only_hashes_can_be_appended():
    with pytest.raises(ProofError):
        Frontier().append(b"a leaf, not its hash")


@given(size=st.integers(1, 700), data=st.data())
def test_paths_read_node_by_node_are_those_of_the_whole_tree(size, data):
    hashes = [leaf_hash(n.to_bytes(2)) for n in range(size)]
    index = data.draw(st.integers(0, size - 1))
    old_size = data.draw(st.integers(1, size))

    def node(level: int, at: int) -> bytes:
        part = hashes[at << level : (at + 1) << level]
        assert len(part) == 1 << level, "only perfect subtrees may be asked for"
        return tree_root(part)

    assert inclusion_path(index, size, node) == inclusion_proof(index, hashes)
    assert consistency_path(old_size, size, node) == consistency_proof(old_size, hashes)
    with pytest.raises(ProofError):
        inclusion_path(size, size, node)
    with pytest.raises(ProofError):
        consistency_path(size + 1, size, node)
