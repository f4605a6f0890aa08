"""Rewrite existing MongoDB documents inside a fixed memory budget."""

from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

from chunkmigrate.backfill import Backfill
from chunkmigrate.errors import ChunkmigrateError
from chunkmigrate.scan import Scan, scan

__all__ = [
    "Backfill",
    "ChunkmigrateError",
    "DeleteMany",
    "DeleteOne",
    "InsertOne",
    "ReplaceOne",
    "Scan",
    "UpdateMany",
    "UpdateOne",
    "scan",
]
