"""Documents and writes made at random, so that many of them meet: few names, all types, paths that exist."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkmigrate.backfill import Write

NAMES = ["a", "b", "c", "d", "0", "1", "10", "x y", "é"]

NUMBERS: list[Any] = [
    *(0, 1, -1, 5, 2**31 - 1, -(2**31), Int64(0), Int64(1), Int64(2**40), Int64(2**63 - 1), Int64(-(2**63))),
    *(0.0, -0.0, 1.0, 1.5, 0.1, -2.5e300, float("inf"), float("-inf"), float("nan")),
    *map(Decimal128, ("0", "1", "1.50", "0.1", "-0.00", "1E+3", "NaN", "Infinity", "9.9E+6144")),
]
OTHERS: list[Any] = [
    *(None, True, False, "", "a", "b", "ä", "aa", MinKey(), MaxKey()),
    *(
        ObjectId(b"0" * 12),
        ObjectId(b"z" * 12),
        Binary(b""),
        Binary(b"x", 4),
        Binary(b"y"),
        Binary(b"aa", 128),
    ),
    *(datetime(1950, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), Timestamp(0, 0), Timestamp(1, 1)),
    *(Regex("a", "i"), Code("return 1"), Code("return 1", {"a": 1})),
]


class Maker:
    """Makes the same documents and writes each time it is given the same ``seed``."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def document(self, id_: Any) -> dict[str, Any]:
        return {"_id": id_} | self.fields(3)

    def fields(self, depth: int) -> dict[str, Any]:
        names = self.random.sample(NAMES, self.random.randrange(1, 5))
        return {name: self.value(depth - 1) for name in names}

    def value(self, depth: int = 2) -> Any:
        kind = self.random.random()
        if depth > 0 and kind < 0.25:
            return self.fields(depth)
        if depth > 0 and kind < 0.55:
            return self.values(depth)
        return self.random.choice(NUMBERS if kind < 0.85 else OTHERS)

    def values(self, depth: int = 1) -> list[Any]:
        made = [self.value(depth - 1) for _ in range(self.random.randrange(5))]
        return made + self.random.choices(made, k=self.random.randrange(2)) if made else made

    def path(self, document: dict[str, Any]) -> str:
        """A path of the document more often than not, now and then one that leads nowhere."""
        inside: Any = document
        path: list[str] = []
        while not path or (isinstance(inside, dict | list) and self.random.random() < 0.6):
            held = dict(enumerate(inside)) if isinstance(inside, list) else inside
            others = [*NAMES, "2", "5"] if path else NAMES
            known = [name for name in held if name != "_id"]
            name = self.random.choice(known if known and self.random.random() < 0.75 else others)
            inside = held.get(name)
            path.append(str(name))
        if self.random.random() < 0.1:
            path.append(self.random.choice(NAMES))
        return ".".join(path)

    def update(self, document: dict[str, Any]) -> dict[str, Any]:
        operators: dict[str, Any] = {}
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            name = self.random.choice([*OPERATORS])
            path = self.path_for(name, document)
            operators.setdefault(name, {})[path] = OPERATORS[name](self, document)
        return operators

    def path_for(self, operator: str, document: dict[str, Any]) -> str:
        """A path where there mostly is what the operator can change."""
        kind = TAKES.get(operator, object)
        paths = [self.path(document) for _ in range(1 if self.random.random() < 0.2 else 8)]
        return next((path for path in paths if isinstance(found(document, path), kind)), paths[0])

    def write(self, document: dict[str, Any]) -> Write:
        selected = {"_id": document["_id"]} | self.condition(document)
        kind = self.random.random()
        if kind < 0.8:
            made = self.random.choice([UpdateOne, UpdateOne, UpdateMany])
            return made(selected, self.update(document), upsert=self.random.random() < 0.1)
        if kind < 0.9:
            replacement = self.document(self.random.choice([document["_id"], document["_id"], -1]))
            if self.random.random() < 0.5:
                del replacement["_id"]
            return ReplaceOne(selected, replacement)
        if kind < 0.95:
            return DeleteOne(selected)
        return InsertOne(self.document(document["_id"]))

    def condition(self, document: dict[str, Any]) -> dict[str, Any]:
        if self.random.random() < 0.8:
            return {}
        name = self.random.choice(NAMES)
        return {name: self.random.choice([{"$exists": True}, {"$exists": False}, 1, "a", document.get(name)])}

    def fields_read(self) -> tuple[str, ...] | None:
        """All fields, or some of them, or parts of some."""
        if self.random.random() < 0.6:
            return None
        names = self.random.sample(NAMES, self.random.randrange(4))
        return tuple(
            f"{name}.{self.random.choice(NAMES)}" if self.random.random() < 0.3 else name for name in names
        )

    def pushed(self) -> Any:
        if self.random.random() < 0.4:
            return self.value(1)
        clauses: dict[str, Any] = {"$each": self.values()}
        if self.random.random() < 0.5:
            clauses["$position"] = self.random.choice([0, 1, 2, -1, -2, 9, -9, Int64(1), 1.0])
        if self.random.random() < 0.5:
            clauses["$slice"] = self.random.choice([0, 1, 2, -1, -3, 9, Int64(2), 2.0])
        return clauses


def found(inside: Any, path: str) -> Any:
    for name in path.split("."):
        held = {str(i): item for i, item in enumerate(inside)} if isinstance(inside, list) else inside
        inside = held.get(name) if isinstance(held, dict) else None
    return inside


TAKES: dict[str, Any] = {
    **dict.fromkeys(("$inc", "$mul"), int | float | Decimal128),
    **dict.fromkeys(("$push", "$addToSet", "$pull", "$pop"), list),
}
OPERATORS: dict[str, Callable[[Maker, dict[str, Any]], Any]] = {
    "$set": lambda make, _: make.value(),
    "$unset": lambda *_: "",
    "$inc": lambda make, _: make.random.choice(NUMBERS),
    "$mul": lambda make, _: make.random.choice(NUMBERS),
    "$min": lambda make, _: make.value(1),
    "$max": lambda make, _: make.value(1),
    "$rename": lambda make, document: make.path(document),
    "$push": lambda make, _: make.pushed(),
    "$addToSet": lambda make, _: make.random.choice([make.value(1), {"$each": make.values()}]),
    "$pull": lambda make, _: make.value(1),
    "$pop": lambda make, _: make.random.choice([1, -1, 1.0, Int64(-1)]),
    "$setOnInsert": lambda make, _: make.value(),
    "$currentDate": lambda make, _: make.random.choice([True, {"$type": "date"}, {"$type": "timestamp"}]),
}
