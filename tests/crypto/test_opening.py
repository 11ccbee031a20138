"""CRY-2, CRY-6, CRY-7: sums are exact, any T open them, fewer learn nothing, and bytes are canonical."""

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenseal import sealapi

from crypto.errors import MalformedBytes, OpeningFailed, TooManyTerms, ValueOutOfRange, WrongEpoch, WrongOpeners
from crypto.opening import Opener, combine, partial, partial_bytes
from crypto.parameters import MINIMAL, STANDARD
from crypto.ring import ntt, residues
from crypto.seal_bytes import read_container, write_container
from crypto.sealing import Sealer, add, chunk_bytes, read_chunk, verify_chunk
from tests.crypto import reference
from tests.crypto.support import cached, chi_squared, network, shortcut, values


@pytest.mark.parametrize("shape", [(2, 1), (2, 2), (3, 2), (4, 3), (5, 5), (7, 4), (9, 2), (16, 11)])
def test_random_subsets_open_exactly(shape: tuple[int, int]):
    members, threshold = shape
    net = network(MINIMAL, members, threshold, epoch=members)
    rng = random.Random(members)
    limit = net.joint.value_limit
    updates = [values(k, MINIMAL.values_per_chunk + 5, limit) for k in range(members)]
    taking_part = sorted(rng.sample(range(members), max(1, members - 1)))
    sums = net.sum([updates[k] for k in taking_part])
    assert len(sums) == 2
    for _ in range(3):
        openers = rng.sample(range(members), threshold)
        opened = np.concatenate([net.open(chunk, openers) for chunk in sums])
        assert np.array_equal(opened, np.sum([updates[k] for k in taking_part], axis=0))


def test_every_subset_opens_and_all_agree():
    net = cached(MINIMAL, 5, 3)
    (total,) = net.sum([values(k, 100, 50) for k in range(5)])
    results = {net.open(total, openers).tobytes() for openers in itertools.combinations(range(5), 3)}
    assert len(results) == 1


@pytest.mark.parametrize("params", [MINIMAL, STANDARD], ids=lambda p: p.name)
@pytest.mark.parametrize("threshold", [43, 64])
def test_extremes_of_64_members(params, threshold: int):
    """The largest sum a set allows: 64 updates at their limit, neighbours at the opposite limit, up to 64 smudges."""
    joint, keys = shortcut(params, 64, threshold)
    limit = joint.value_limit
    pattern = np.tile([limit, -limit, limit, 0, -limit], 20)
    sealer = Sealer(joint)
    total = add([next(sealer.seal(pattern)) for _ in range(64)], params)
    openers = range(64 - threshold, 64)
    partials = {k: partial(keys[k], openers, total) for k in openers}
    assert np.array_equal(combine(total, partials, params, 64), 64 * pattern)


@pytest.mark.parametrize("shape", [(3, 2), (4, 3), (10, 7)])
def test_standard_opens_exactly_with_drop_outs(shape: tuple[int, int]):
    members, threshold = shape
    net = cached(STANDARD, members, threshold)
    updates = [values(k, 30_000, net.joint.value_limit) for k in range(members)]
    sums = net.sum(updates[1:])
    opened = np.concatenate([net.open(chunk, range(members - threshold, members)) for chunk in sums])
    assert np.array_equal(opened, np.sum(updates[1:], axis=0))


def test_fewer_than_threshold_learn_only_noise():
    """CRY-2: T-1 partial openings of a sum of zeros leave a residue that is uniform, not small."""
    net = cached(STANDARD, 4, 3)
    (chunk,) = net.sum([np.zeros(10, np.int64)] * 2)
    partials = net.partials(chunk, (0, 1, 3))
    with pytest.raises(WrongOpeners):
        combine(chunk, {k: partials[k] for k in (0, 1)}, STANDARD, 4)
    _, body = read_chunk(chunk, STANDARD)
    for size in (1, 2):
        for subset in itertools.combinations(partials, size):
            phase = body[0, 0].astype(object)
            for k in subset:
                phase += np.frombuffer(partials[k], "<u8", STANDARD.ring, 72).astype(object)
            residue = (phase % STANDARD.primes[0]).astype(np.uint64)
            assert abs(chi_squared(residue, STANDARD.primes[0])) < 8


def test_t_minus_one_shares_without_masks_open_nothing():
    """Even the bare shares of T-1 members, combined as if they were enough, leave a uniform residue."""
    net = cached(STANDARD, 4, 3)
    chunk = next(net.sealer.seal(np.zeros(10, np.int64)))
    _, body = read_chunk(chunk, STANDARD)
    prime = STANDARD.primes[0]
    guess = reference.interpolate({k: net.members[k].sigma[0].tolist() for k in (1, 2)}, prime)
    product = reference.product(body[1, 0].tolist(), guess, prime)
    residue = np.array([(int(a) + b) % prime for a, b in zip(body[0, 0], product, strict=True)], np.uint64)
    assert abs(chi_squared(residue, prime)) < 8


def test_a_single_partial_is_masked():
    """Bare d_k = c1·λσ + smudge would be a short vector for c1 = 0; the masks make it uniform."""
    net = cached(STANDARD, 4, 3)
    chunk = next(net.sealer.seal(np.zeros(4, np.int64)))
    crafted = chunk[: 40 + 8 * 2 * STANDARD.ring] + bytes(8 * 2 * STANDARD.ring)
    for k, data in net.partials(crafted, (0, 2, 3)).items():
        words = np.frombuffer(data, "<u8", STANDARD.ring, 72)
        assert abs(chi_squared(words, STANDARD.primes[0])) < 8, k


def test_partials_repeat_and_differ_between_sets():
    """Deterministic smudging: asking again gives no new noise to average; another set shares no mask."""
    net = cached(MINIMAL, 5, 3)
    chunk = next(net.sealer.seal(values(1, 10, 9)))
    first = partial(net.members[0], (0, 1, 2), chunk)
    assert first == partial(net.members[0], (2, 0, 1), chunk)
    assert len(first) == partial_bytes(MINIMAL)
    assert first[72:] != partial(net.members[0], (0, 1, 3), chunk)[72:]


def test_wrong_opener_sets_are_refused():
    net = cached(MINIMAL, 5, 3)
    member = net.members[1]
    for openers in [(0, 1), (0, 1, 2, 3), (0, 2, 3), (1, 1, 2), (1, 2, 5), (-1, 1, 2)]:
        with pytest.raises(WrongOpeners):
            Opener(member, openers)


def test_mixed_or_foreign_partials_are_refused():
    net = cached(MINIMAL, 5, 3)
    one, two = next(net.sealer.seal(values(1, 10, 9))), next(net.sealer.seal(values(2, 10, 9)))
    good = net.partials(one, (0, 1, 2))
    other_set, other_chunk = net.partials(one, (0, 1, 3)), net.partials(two, (0, 1, 2))
    for bad in ({**good, 0: other_set[0]}, {**good, 0: other_chunk[0]}, {**good, 0: good[1]}, {}, {7: good[0]}):
        with pytest.raises(WrongOpeners):
            combine(one, bad, MINIMAL, 5)


@pytest.mark.parametrize("row", [0, 1])
def test_a_wrong_partial_is_noticed(row: int):
    """Each altered coefficient leaves visible noise with probability 1/2; an opening holds thousands of them."""
    net = cached(MINIMAL, 5, 3)
    chunk = next(net.sealer.seal(values(1, 10, 9)))
    partials = net.partials(chunk, (0, 1, 2))
    bent = np.frombuffer(partials[1], "<u8", offset=72).copy()
    bent[4096 * row : 4096 * row + 64] //= 2
    with pytest.raises(OpeningFailed):
        combine(chunk, {**partials, 1: partials[1][:72] + bent.tobytes()}, MINIMAL, 5)


def test_an_aimed_wrong_partial_shows_only_beside_another_subset():
    """The known limit (SECURITY.md): an opener can shift a value by a whole step; honest subsets then disagree."""
    net = cached(MINIMAL, 5, 3)
    chunk = next(net.sealer.seal(values(1, 10, 9)))
    partials = net.partials(chunk, (0, 1, 2))
    step = MINIMAL.chunk_modulus // MINIMAL.plain_modulus
    bent = np.frombuffer(partials[1], "<u8", offset=72).reshape(2, -1).copy()
    for at, prime in enumerate(MINIMAL.chunk_primes):
        bent[at, 0] = (int(bent[at, 0]) + step) % prime
    lie = combine(chunk, {**partials, 1: partials[1][:72] + bent.tobytes()}, MINIMAL, 5)
    truth = net.open(chunk, (0, 3, 4))
    assert (lie - truth).tolist() == [1, *[0] * 9]


def test_members_of_another_epoch_do_not_open():
    net, other = cached(MINIMAL, 4, 3), network(MINIMAL, 4, 3, epoch=2)
    chunk = next(net.sealer.seal(values(1, 10, 9)))
    with pytest.raises(WrongEpoch):
        partial(other.members[0], (0, 1, 2), chunk)
    with pytest.raises(WrongEpoch):
        verify_chunk(chunk, MINIMAL, 2)


def with_added_c1(chunk: bytes, params, constant: int) -> bytes:
    """The chunk with a constant added to c1: no honest encryption gives it."""
    words = np.frombuffer(chunk, "<u8", offset=40).reshape(2, 2, -1).copy()
    for row, prime in enumerate(params.chunk_primes):
        words[1, row, 0] = (int(words[1, row, 0]) + constant) % prime
    return chunk[:40] + words.tobytes()


def test_known_gap_a_crafted_ciphertext_reads_the_joint_secret():
    """SECURITY.md, chosen ciphertexts, 3: not closed. Adding (0, 2^61) puts the joint secret into the noise."""
    net = cached(STANDARD, 4, 3)
    primes, q, t = list(STANDARD.chunk_primes), STANDARD.chunk_modulus, STANDARD.plain_modulus
    update = values(3, STANDARD.values_per_chunk, net.joint.value_limit)
    crafted = with_added_c1(next(net.sealer.seal(update)), STANDARD, 1 << 61)
    partials = net.partials(crafted, (0, 1, 2))
    assert np.array_equal(combine(crafted, partials, STANDARD, 4), update)
    phase = reference.chunk(crafted, STANDARD.ring, primes)[0]
    for data in partials.values():
        words = np.frombuffer(data, "<u8", offset=72).reshape(2, -1).tolist()
        phase = [(a + b) % q for a, b in zip(phase, reference.chinese(words, primes), strict=True)]
    plain, _ = reference.decode(phase, q, t)
    noise = [(x - (2 * q * m + t) // (2 * t) + q // 2) % q - q // 2 for x, m in zip(phase, plain, strict=True)]
    read = np.array([round(e / 2**61) for e in noise])
    assert np.mean(read == net.secret) > 0.999


def test_grossly_malformed_ciphertexts_are_refused():
    net = cached(STANDARD, 4, 3)
    crafted = with_added_c1(next(net.sealer.seal(values(3, 100, 9))), STANDARD, 1 << 64)
    with pytest.raises(OpeningFailed):
        net.open(crafted, (0, 1, 2))


# ---- sealing and sums ------------------------------------------------------------------------------------------------


def test_sealing_checks_its_input():
    net = cached(MINIMAL, 4, 3)
    limit = net.joint.value_limit
    for bad in ([limit + 1], [-limit - 1], []):
        with pytest.raises(ValueOutOfRange):
            net.sealer.seal(np.array(bad, np.int64))


def test_sealing_twice_gives_different_canonical_chunks():
    net = cached(MINIMAL, 4, 3)
    one, two = next(net.sealer.seal(values(1, 10, 9))), next(net.sealer.seal(values(1, 10, 9)))
    assert one[40:] != two[40:]
    assert one[:40] == two[:40]
    for chunk in (one, two):
        verify_chunk(chunk, MINIMAL, 1)
        assert len(chunk) == chunk_bytes(MINIMAL)


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(5)))
def test_sums_do_not_depend_on_order_or_grouping(order: list[int]):
    net = cached(MINIMAL, 5, 3)
    chunks = [next(net.sealer.seal(values(k, 10, 9))) for k in range(5)]
    total = add(chunks, MINIMAL)
    assert add([chunks[k] for k in order], MINIMAL) == total
    assert add([add(chunks[:2], MINIMAL), add(chunks[2:], MINIMAL)], MINIMAL) == total


def test_sums_that_cannot_be_are_refused():
    net = cached(MINIMAL, 4, 3)
    first, second = net.sealer.seal(values(1, MINIMAL.values_per_chunk + 1, 9))
    short = next(net.sealer.seal(values(1, 3, 9)))
    foreign = next(network(MINIMAL, 2, 2, epoch=5).sealer.seal(values(1, MINIMAL.values_per_chunk, 9)))
    for bad in ([], [first, second], [first, short], [first, foreign]):
        with pytest.raises(MalformedBytes):
            add(bad, MINIMAL)
    with pytest.raises(TooManyTerms):
        add([first] * 65, MINIMAL)
    with pytest.raises(MalformedBytes, match=r"chunk\.terms"):
        verify_chunk(add([first, first], MINIMAL), MINIMAL, 1)


def seal_context(params):
    parms = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.BFV)
    parms.set_poly_modulus_degree(params.ring)
    parms.set_coeff_modulus(sealapi.CoeffModulus.Create(params.ring, [p.bit_length() for p in params.primes]))
    parms.set_plain_modulus(params.plain_modulus)
    return sealapi.SEALContext(parms, True, sealapi.SEC_LEVEL_TYPE.TC128)


def to_seal(context, chunk: bytes, template: bytes, path):
    """Our chunk as a SEAL ciphertext: SEAL's own 97 bytes in front of the same coefficients."""
    path.write_bytes(write_container(template + chunk[40:]))
    ciphertext = sealapi.Ciphertext(context)
    ciphertext.load(context, str(path))
    return ciphertext


@pytest.mark.parametrize("params", [MINIMAL, STANDARD], ids=lambda p: p.name)
def test_seal_adds_and_decrypts_the_same_bytes(params, tmp_path):
    """CRY-7: SEAL's evaluator gives bitwise our sum; its decryptor, given Σ s_i, gives the sum's values."""
    net = cached(params, 4, 3)
    context, path = seal_context(params), tmp_path / "object"
    keys = sealapi.KeyGenerator(context)
    public = sealapi.PublicKey()
    keys.create_public_key(public)
    zero = sealapi.Ciphertext(context)
    sealapi.Encryptor(context, public).encrypt_zero(zero)
    zero.save(str(path))
    template = read_container(path.read_bytes())[:97]

    updates = [values(k, params.values_per_chunk, net.joint.value_limit) for k in range(3)]
    chunks = [next(net.sealer.seal(update)) for update in updates]
    total = sealapi.Ciphertext(context)
    sealapi.Evaluator(context).add_many([to_seal(context, c, template, path) for c in chunks], total)
    total.save(str(path))
    ours = add(chunks, params)
    assert read_container(path.read_bytes())[97:] == ours[40:]

    secret = ntt(residues(net.secret, params.primes), params.primes)
    keys.secret_key().save(str(path))
    head = read_container(path.read_bytes())[: -secret.nbytes]
    path.write_bytes(write_container(head + secret.tobytes()))
    seal_secret = sealapi.SecretKey()
    seal_secret.load(context, str(path))
    plain = sealapi.Plaintext()
    sealapi.Decryptor(context, seal_secret).decrypt(total, plain)
    coefficients = [plain[i] if i < plain.coeff_count() else 0 for i in range(params.ring)]
    found = reference.fields(coefficients, params.plain_modulus, params.fields, params.field_bits)
    assert found == np.sum(updates, axis=0).tolist()


@pytest.mark.parametrize("params", [MINIMAL, STANDARD], ids=lambda p: p.name)
def test_integers_combine_the_same_partials(params):
    """The plain-integer reference decodes our partial openings to the same values."""
    net = cached(params, 4, 3)
    update = values(9, params.values_per_chunk, net.joint.value_limit)
    chunk = next(net.sealer.seal(update))
    primes, q, t = list(params.chunk_primes), params.chunk_modulus, params.plain_modulus
    c0, _, count = reference.chunk(chunk, params.ring, primes)
    phase = c0
    for data in net.partials(chunk, (3, 1, 0)).values():
        words = np.frombuffer(data, "<u8", 2 * params.ring, 72).reshape(2, -1).tolist()
        phase = [(a + b) % q for a, b in zip(phase, reference.chinese(words, primes), strict=True)]
    plain, noise = reference.decode(phase, q, t)
    assert 2**params.smudge_bits < noise < q // t // 8, "three openers' smudging must be there, and leave room"
    assert reference.fields(plain, t, params.fields, params.field_bits)[:count] == update.tolist()
