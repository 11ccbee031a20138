"""Content-addressed blobs: the bytes of updates, sums, models, plans and statements, named by their CIDs.

    put(bytes) -> cid       get(cid) -> bytes, checked       fetch_blob(store, cid, peers): what is missing comes from peers

`BlobStore` is the protocol; `FileStore` keeps blobs as files, `ipfs.IpfsStore` in an IPFS node, `MemoryStore` in memory;
`limited.LimitedStore` sets any of them a quota. The CIDs are those an IPFS node gives the same bytes (`node.storage.cids`).
"""

from node.storage.cids import CHUNK_SIZE, CidHasher, blob_cid, parse_blob_cid, raw_cid, stream_cid, verify_blob
from node.storage.errors import (
    Attempt,
    BadCid,
    BlobCorrupt,
    BlobMismatch,
    BlobMissing,
    BlobTooLarge,
    BlobUnavailable,
    StorageError,
    StorageFull,
    StorageUnusable,
)
from node.storage.files import FileStore
from node.storage.memory import MemoryStore
from node.storage.peers import Fetched, FetchLimits, fetch_blob, fetch_blob_async
from node.storage.store import Batch, BlobStore, Incoming

__all__ = [
    "CHUNK_SIZE",
    "Attempt",
    "BadCid",
    "Batch",
    "BlobCorrupt",
    "BlobMismatch",
    "BlobMissing",
    "BlobStore",
    "BlobTooLarge",
    "BlobUnavailable",
    "CidHasher",
    "FetchLimits",
    "Fetched",
    "FileStore",
    "Incoming",
    "MemoryStore",
    "StorageError",
    "StorageFull",
    "StorageUnusable",
    "blob_cid",
    "fetch_blob",
    "fetch_blob_async",
    "parse_blob_cid",
    "raw_cid",
    "stream_cid",
    "verify_blob",
]
