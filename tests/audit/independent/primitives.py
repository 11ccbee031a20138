"""The standard primitives that a verifier of bundles needs and Python's standard library lacks. Nothing here knows Medweave.

Keccak-256 (FIPS 202's permutation with the old padding), secp256k1 (SEC 1, 4.1.6), RLP and tries (Yellow Paper, appendices B and D),
DAG-CBOR, XChaCha20-Poly1305 (RFC 8439, draft-irtf-cfrg-xchacha-03), Merkle roots (RFC 6962), UnixFS CIDs.
"""

import base64
import hashlib

MASK = (1 << 64) - 1


def sha256(data):
    return hashlib.sha256(data).digest()


# ---- Keccak-256 --------------------------------------------------------------------------------------------------------


def _round_constants():
    register, constants = 1, []
    for _ in range(24):
        constant = 0
        for bit in range(7):
            constant |= (register & 1) << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return constants


def _moves():
    x, y, moves = 1, 0, []
    for step in range(24):
        moves.append((x + 5 * y, y + 5 * ((2 * x + 3 * y) % 5), (step + 1) * (step + 2) // 2 % 64))
        x, y = y, (2 * x + 3 * y) % 5
    return moves


ROUNDS, MOVES = _round_constants(), _moves()


def _permute(a):
    for constant in ROUNDS:
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[x - 1] ^ ((c[(x + 1) % 5] << 1 | c[(x + 1) % 5] >> 63) & MASK) for x in range(5)]
        a = [lane ^ d[place % 5] for place, lane in enumerate(a)]
        b = [a[0]] * 25
        for source, target, turn in MOVES:
            b[target] = (a[source] << turn | a[source] >> (64 - turn)) & MASK
        a = [b[i] ^ (~b[i - i % 5 + (i + 1) % 5] & b[i - i % 5 + (i + 2) % 5]) for i in range(25)]
        a[0] ^= constant
    return a


def keccak(data):
    data = bytearray(data + b"\x01" + bytes(-(len(data) + 1) % 136))
    data[-1] |= 0x80
    state = [0] * 25
    for at in range(0, len(data), 136):
        for lane in range(17):
            state[lane] ^= int.from_bytes(data[at + 8 * lane : at + 8 * lane + 8], "little")
        state = _permute(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


# ---- secp256k1 ---------------------------------------------------------------------------------------------------------

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GENERATOR = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def _double(p):
    x, y, z = p
    s, m = 4 * x * y * y % P, 3 * x * x % P
    x2 = (m * m - 2 * s) % P
    return x2, (m * (s - x2) - 8 * pow(y, 4, P)) % P, 2 * y * z % P


def _add(p, q):
    if not p[2] or not q[2]:
        return q if not p[2] else p
    z1, z2 = p[2] * p[2] % P, q[2] * q[2] % P
    u1, u2, s1, s2 = p[0] * z2 % P, q[0] * z1 % P, p[1] * q[2] * z2 % P, q[1] * p[2] * z1 % P
    if u1 == u2:
        return _double(p) if s1 == s2 else (0, 1, 0)
    h, r = u2 - u1, s2 - s1
    h2, h3 = h * h % P, h * h * h % P
    x = (r * r - h3 - 2 * u1 * h2) % P
    return x, (r * (u1 * h2 - x) - s1 * h3) % P, h * p[2] * q[2] % P


def recover(digest, r, s, parity):
    """The Ethereum address (20 bytes) whose key signed a digest; raises ValueError for what is no signature in low-s form."""
    y_squared = (pow(r, 3, P) + 7) % P
    y = pow(y_squared, (P + 1) // 4, P)
    if not (0 < r < N and 0 < s <= N // 2 and parity in {0, 1} and y * y % P == y_squared):
        raise ValueError("no signature in its one accepted form")
    point = (r, y if y % 2 == parity else P - y, 1)
    inverse = pow(r, -1, N)
    a, b = -int.from_bytes(digest, "big") * inverse % N, s * inverse % N
    both, key = _add((*GENERATOR, 1), point), (0, 1, 0)
    for bit in range(255, -1, -1):  # Shamir's trick: a·G + b·R
        key = _double(key)
        choice = (a >> bit & 1, b >> bit & 1)
        if any(choice):
            key = _add(key, {(1, 0): (*GENERATOR, 1), (0, 1): point, (1, 1): both}[choice])
    if not key[2]:
        raise ValueError("the signature gives no key")
    z = pow(key[2], -1, P)
    x, y = key[0] * z * z % P, key[1] * z * z * z % P
    return keccak(x.to_bytes(32, "big") + y.to_bytes(32, "big"))[12:]


# ---- RLP and tries -----------------------------------------------------------------------------------------------------


def rlp(item):
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _head(0x80, len(item)) + item
    body = b"".join(map(rlp, item))
    return _head(0xC0, len(body)) + body


def _head(base, size):
    if size < 56:
        return bytes([base + size])
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(length)]) + length


def unrlp(data):
    """Bytes, and lists of them; raises ValueError for anything but one item in its one form."""
    item, end = _item(data, 0)
    if end != len(data) or rlp(item) != data:
        raise ValueError("not RLP")
    return item


def _item(data, at):
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    base = 0xC0 if first >= 0xC0 else 0x80
    start, size = at + 1, first - base
    if size > 55:
        start, size = at + 1 + size - 55, int.from_bytes(data[at + 1 : at + 1 + size - 55], "big")
    end = start + size
    if end > len(data):
        raise ValueError("RLP is cut off")
    if base == 0x80:
        return data[start:end], end
    items = []
    while start < end:
        item, start = _item(data, start)
        items.append(item)
    return items, end


def trie_root(values):
    """Root of the trie with key RLP(position)."""
    pairs = []
    for position, value in enumerate(values):
        pairs.append(([n for byte in rlp(position) for n in (byte >> 4, byte & 15)], value))
    return keccak(rlp(_node(pairs) if pairs else b""))


def _node(pairs):
    if len(pairs) == 1:
        return [_packed(pairs[0][0], leaf=True), pairs[0][1]]
    first, last = min(key for key, _ in pairs), max(key for key, _ in pairs)
    shared = next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    if shared:
        return [_packed(pairs[0][0][:shared], leaf=False), _reference([(key[shared:], value) for key, value in pairs])]
    branch = [
        _reference([(key[1:], value) for key, value in pairs if key and key[0] == nibble]) for nibble in range(16)
    ]
    return [*branch, next((value for key, value in pairs if not key), b"")]


def _reference(pairs):
    if not pairs:
        return b""
    node = _node(pairs)
    return node if len(rlp(node)) < 32 else keccak(rlp(node))


def _packed(nibbles, *, leaf):
    nibbles = [2 * leaf + 1, *nibbles] if len(nibbles) % 2 else [2 * leaf, 0, *nibbles]
    return bytes(16 * high + low for high, low in zip(nibbles[::2], nibbles[1::2], strict=True))


# ---- DAG-CBOR ----------------------------------------------------------------------------------------------------------


class Link(bytes):
    """A CID, binary."""


def cbor(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return _major(0, value) if value >= 0 else _major(1, -1 - value)
    if isinstance(value, Link):
        return b"\xd8\x2a" + cbor(b"\x00" + value)
    if isinstance(value, bytes):
        return _major(2, len(value)) + value
    if isinstance(value, str):
        return _major(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _major(4, len(value)) + b"".join(map(cbor, value))
    keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
    return _major(5, len(value)) + b"".join(cbor(key) + cbor(value[key]) for key in keys)


def _major(major, number):
    for size, mark in ((0, None), (1, 24), (2, 25), (4, 26), (8, 27)):
        if number < (24 if not size else 1 << 8 * size):
            return bytes([major << 5 | (number if mark is None else mark)]) + (
                number.to_bytes(size, "big") if size else b""
            )
    raise ValueError("an integer beyond 64 bits")


def uncbor(data):
    """Reads what `cbor` would write, and nothing else; raises ValueError."""
    try:
        value, end = _value(data, 0, 0)
        canonical = end == len(data) and cbor(value) == data
    except (IndexError, KeyError, AttributeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"not DAG-CBOR: {error}") from error
    if not canonical:
        raise ValueError("not canonical DAG-CBOR")
    return value


def _value(data, at, depth):
    if depth > 16:
        raise ValueError("nested too deep")
    major, low = data[at] >> 5, data[at] & 31
    if major == 7:
        return {20: False, 21: True, 22: None}[low], at + 1
    width = {24: 1, 25: 2, 26: 4, 27: 8}[low] if low > 23 else 0
    number = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else low
    at += 1 + width
    if major < 2:
        return (number if major == 0 else -1 - number), at
    if major in {2, 3}:
        piece = data[at : at + number]
        return (piece if major == 2 else piece.decode()), at + number
    if major == 6:
        content, at = _value(data, at, depth + 1)
        return Link(content[1:]), at
    items = []
    for _ in range(number * (1 if major == 4 else 2)):
        item, at = _value(data, at, depth + 1)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2], strict=True))), at


# ---- XChaCha20-Poly1305 ------------------------------------------------------------------------------------------------

SIGMA = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574]
QUARTERS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip


def _words(data):
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def _twenty_rounds(state, lanes):
    """The rounds over many blocks at once: each word is an integer with one lane of 64 bits a block, its low half in use."""
    low = int("00000000ffffffff" * lanes, 16)
    s = list(state)
    for _ in range(10):
        for a, b, c, d in QUARTERS:
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                s[x] = (s[x] + s[y]) & low
                mixed = s[z] ^ s[x]
                s[z] = (mixed << turn | mixed >> (32 - turn)) & low
    return s, low


def _keystream(key, nonce, blocks):
    spread = int("0000000000000001" * blocks, 16)
    counters = sum(block << 64 * block for block in range(blocks))
    start = [word * spread for word in SIGMA + _words(key)] + [counters] + [word * spread for word in _words(nonce)]
    end, low = _twenty_rounds(start, blocks)
    columns = [((a + b) & low).to_bytes(8 * blocks, "little") for a, b in zip(start, end, strict=True)]
    stream = bytearray(64 * blocks)
    for word, column in enumerate(columns):
        for byte in range(4):
            stream[4 * word + byte :: 64] = column[byte::8]
    return bytes(stream)


def open_sealed(key, nonce, sealed, associated):
    """The plaintext under XChaCha20-Poly1305 with a nonce of 24 bytes; raises ValueError where the tag is another."""
    mixed, _ = _twenty_rounds(SIGMA + _words(key) + _words(nonce[:16]), 1)
    subkey = b"".join(word.to_bytes(4, "little") for word in mixed[:4] + mixed[12:])
    text, tag = sealed[:-16], sealed[-16:]
    stream = _keystream(subkey, bytes(4) + nonce[16:], 1 + (len(text) + 63) // 64)
    signed = associated + bytes(-len(associated) % 16) + text + bytes(-len(text) % 16)
    signed += len(associated).to_bytes(8, "little") + len(text).to_bytes(8, "little")
    r = int.from_bytes(stream[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(signed), 16):
        total = (total + int.from_bytes(signed[at : at + 16], "little") + (1 << 128)) * r % (2**130 - 5)
    if ((total + int.from_bytes(stream[16:32], "little")) % 2**128).to_bytes(16, "little") != tag:
        raise ValueError("the tag is another one")
    pad = int.from_bytes(stream[64 : 64 + len(text)], "little")
    return (int.from_bytes(text, "little") ^ pad).to_bytes(len(text), "little")


# ---- Merkle roots and CIDs ---------------------------------------------------------------------------------------------


def merkle_root(leaves):
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + merkle_root(leaves[:split]) + merkle_root(leaves[split:]))


def cid_text(cid):
    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


def cid_bytes(data):
    """The CID, binary, that IPFS gives a file in leaves of 256 KiB."""
    leaves = [data[at : at + 262_144] for at in range(0, len(data), 262_144)] or [b""]
    level = [(b"\x01\x55\x12\x20" + sha256(leaf), len(leaf), len(leaf)) for leaf in leaves]
    while len(level) > 1:
        level = [_tree_node(level[at : at + 174]) for at in range(0, len(level), 174)]
    return level[0][0]


def _tree_node(children):
    node, sizes = b"", b""
    for cid, tree_size, file_size in children:
        link = b"\x0a\x24" + cid + b"\x12\x00\x18" + _varint(tree_size)
        node += b"\x12" + _varint(len(link)) + link
        sizes += b"\x20" + _varint(file_size)
    total = sum(file_size for _, _, file_size in children)
    body = b"\x08\x02\x18" + _varint(total) + sizes
    node += b"\x0a" + _varint(len(body)) + body
    return b"\x01\x70\x12\x20" + sha256(node), len(node) + sum(tree_size for _, tree_size, _ in children), total


def _varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
