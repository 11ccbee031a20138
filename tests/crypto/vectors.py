"""Golden vectors of sealing and opening: SEAL makes the ciphertexts, Python integers check them.

``python -m tests.crypto.vectors`` writes tests/vectors/crypto/*.json anew. Each file names every input of a run (joint
secret, randomness, values) and the SHA-256 of every byte string that comes out of it.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tenseal import sealapi

from crypto.keys import JointKey, MemberKey
from crypto.modular import Words
from crypto.opening import Opener
from crypto.parameters import PARAMETER_SETS, ParameterSet
from crypto.ring import ntt
from crypto.seal_bytes import OBJECT_HEAD, read_container, write_container
from crypto.sealing import Sealer, add
from crypto.secrets import ContentKey
from tests.crypto import independent
from tests.crypto.independent import Holder, Sizes

FOLDER = Path(__file__).parents[1] / "vectors" / "crypto"
SIZES = {"minimal": independent.MINIMAL, "standard": independent.STANDARD}
CONSORTIUM = bytes(range(32, 64))
EPOCH, MEMBERS, THRESHOLD, OPENERS = 3, 5, 3, (0, 2, 4)
UPDATES = 2


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def numbers(label: str, count: int, low: int, high: int) -> list[int]:
    """Integers from low to high that anybody can recompute: SHAKE256, 16 bytes each, modulo the span."""
    data = hashlib.shake_256(f"medweave/vector/{label}".encode()).digest(16 * count)
    span = high - low + 1
    return [low + int.from_bytes(data[i : i + 16], "little") % span for i in range(0, len(data), 16)]


def values(sizes: Sizes, update: int) -> list[int]:
    """A full chunk; the largest absolute value is the room of one of five members."""
    limit = ((1 << (sizes.bits - 1)) - 1) // MEMBERS
    return [limit, -limit, 0, *numbers(f"values {update}", sizes.n * sizes.fields - 3, -limit, limit)]


def secret(sizes: Sizes) -> tuple[list[int], list[int]]:
    """Joint secret and error as five members make them."""
    return numbers("secret", sizes.n, -MEMBERS, MEMBERS), numbers("error", sizes.n, -9 * MEMBERS, 9 * MEMBERS)


def holders(sizes: Sizes) -> list[Holder]:
    coefficients = [numbers(f"shamir {i}", sizes.n, 0, sizes.q - 1) for i in range(1, THRESHOLD)]
    sigmas = independent.shares(secret(sizes)[0], coefficients, MEMBERS, sizes)
    return [
        Holder(k, sigma, bytes([k + 1]) * 32, {j: pair(j, k) for j in range(MEMBERS) if j != k})
        for k, sigma in enumerate(sigmas)
    ]


def pair(j: int, k: int) -> bytes:
    return bytes([min(j, k), max(j, k)] * 16)


def seal_seed(update: int) -> list[int]:
    return [100 * update + i for i in range(8)]


def generator(update: int) -> Iterator[int]:
    """The 32-bit numbers of SEAL's own generator."""
    source = sealapi.Blake2xbPRNG(seal_seed(update))
    while True:
        yield source.generate()


def rows(poly: list[int], primes: tuple[int, ...]) -> Words:
    return np.array([[v % p for v in poly] for p in primes], np.uint64)


def package_keys(params: ParameterSet, sizes: Sizes) -> tuple[JointKey, list[MemberKey]]:
    """The same keys as the package holds them."""
    b = independent.public_key(independent.common(CONSORTIUM, EPOCH, sizes), *secret(sizes), sizes)
    joint = JointKey(params, CONSORTIUM, EPOCH, MEMBERS, THRESHOLD, bytes(32), rows(b, params.primes))
    members = [
        MemberKey(
            params,
            CONSORTIUM,
            EPOCH,
            holder.index,
            MEMBERS,
            THRESHOLD,
            rows(holder.sigma, params.chunk_primes),
            ContentKey(bytes(32)),
            holder.smudge,
            tuple(holder.pairs.get(j, bytes(32)) for j in range(MEMBERS)),
        )
        for holder in holders(sizes)
    ]
    return joint, members


def seal_zero(joint: JointKey, update: int) -> Words:
    """SEAL's encryption of zero under the joint key from a fixed seed, uint64 [2, L, n]."""
    params = joint.params
    parms = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.BFV)
    parms.set_poly_modulus_degree(params.ring)
    parms.set_coeff_modulus(sealapi.CoeffModulus.Create(params.ring, [p.bit_length() for p in params.primes]))
    parms.set_plain_modulus(params.plain_modulus)
    factory = sealapi.Blake2xbPRNGFactory(seal_seed(update))
    parms.set_random_generator(factory)
    context = sealapi.SEALContext(parms, True, sealapi.SEC_LEVEL_TYPE.TC128)
    key, zero = sealapi.PublicKey(), sealapi.Ciphertext()
    sealapi.KeyGenerator(context).create_public_key(key)
    ours = np.stack((ntt(joint.b, params.primes), ntt(joint.a, params.primes)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "object")
        key.save(str(file))
        head = read_container(file.read_bytes())[:OBJECT_HEAD]
        file.write_bytes(write_container(head + ours.astype("<u8").tobytes()))
        key.load(context, str(file))
        sealapi.Encryptor(context, key).encrypt_zero(zero)
        zero.save(str(file))
        body = read_container(file.read_bytes())[OBJECT_HEAD:]
    return np.frombuffer(body, "<u8").reshape(2, len(params.chunk_primes), params.ring).astype(np.uint64)


def small(poly: list[int]) -> str:
    """A polynomial of small coefficients as text: one byte each, 128 for zero."""
    return bytes(v + 128 for v in poly).hex()


def read_small(text: str) -> list[int]:
    return [v - 128 for v in bytes.fromhex(text)]


def make(name: str) -> dict[str, Any]:
    """The vector of a parameter set, from SEAL and the package; only the randomness is drawn by the reference."""
    params, sizes = PARAMETER_SETS[name], SIZES[name]
    joint, members = package_keys(params, sizes)
    chunks = [
        with_zero(seal_zero(joint, u), lambda u=u: Sealer(joint).seal_chunk(0, np.array(values(sizes, u))))
        for u in range(UPDATES)
    ]
    total = add(chunks, params)
    return {
        "parameters": params.id.hex(),
        "joint key": sha(joint.b.astype("<u8").tobytes()),
        "shares": [sha(member.sigma.astype("<u8").tobytes()) for member in members],
        "randomness": [
            dict(zip("ufg", map(small, independent.seal_randomness(generator(u), sizes.n)), strict=True))
            for u in range(UPDATES)
        ],
        "chunks": [sha(chunk) for chunk in chunks],
        "first coefficients": [[int(w) for w in np.frombuffer(chunk, "<u8", 4, 40)] for chunk in chunks],
        "sum": sha(total),
        "partial openings": {str(k): sha(Opener(members[k], OPENERS).partial(total)) for k in OPENERS},
        "opened": sha(
            np.sum([values(sizes, u) for u in range(UPDATES)], axis=0).astype("<i8").tobytes(),
        ),
    }


def with_zero(zero: Words, work: Any) -> Any:
    """``work()`` while the package's sealing takes this encryption of zero for a fresh one."""
    from crypto import sealing

    kept = sealing.encrypt_zero
    sealing.encrypt_zero = lambda context, params: zero
    try:
        return work()
    finally:
        sealing.encrypt_zero = kept


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"sealing-{name}.json").read_text())
    return found


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in PARAMETER_SETS:
        (FOLDER / f"sealing-{each}.json").write_text(json.dumps(make(each), indent=1) + "\n")
