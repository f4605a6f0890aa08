"""A round: one migration, what is done to it while it runs, and the comparison afterwards."""

from __future__ import annotations

import random
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.faults import groups
from tests.faults.attempts import AGAIN, DONE, begun, ended, sweep
from tests.faults.kinds import KINDS, LEAKY, NAME, QUARANTINED, Kind
from tests.faults.oracle import Data, difference, insert
from tests.faults.races import race
from tests.faults.scenes import Scene
from tests.faults.undoing import there_and_back
from tests.soak.blows import BLOWS, Blow, MissedError, Play, judge
from tests.soak.stage import ALONE, THREE, Stage

if TYPE_CHECKING:
    from pymongo.database import Database

    from tests.soak.tally import Tally

MOST_ATTEMPTS = 40
KILL_DOCUMENTS = 12_000

# A process has 36 MiB at its start, and refuses to work with less than 8 more: so much is enough for every
# kind, and not for all it would like.
LITTLE_MEMORY = ("--memory", "48Mi")

# It is stopped every 9,000 documents or so: some rounds have none of that, some have one.
LEAKY_DOCUMENTS = 15_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round will be, by its seed alone."""

    seed: int
    kind: Kind
    place: str
    documents: int
    arguments: tuple[str, ...]
    blows: tuple[Blow, ...]

    def __str__(self) -> str:
        arguments = " ".join(self.arguments)
        return f"{self.kind.name}, {self.documents:,} documents, {self.place}, {arguments}"


def plan(seed: int) -> Plan:
    """Return the round of a seed."""
    chance = random.Random(seed)
    place = chance.choice((ALONE, ALONE, THREE))
    here = [blow for blow in BLOWS if place in blow.places]
    blows = chance.choices(here, [blow.weight for blow in here], k=chance.randint(1, 6))
    kind = chance.choice((*KINDS, QUARANTINED, LEAKY))
    memory = LITTLE_MEMORY if kind is LEAKY or chance.random() < 0.3 else ()
    documents = chance.choice((5_000, 15_000, 30_000, 60_000))
    return Plan(
        seed=seed,
        kind=kind,
        place=place,
        documents=min(documents, LEAKY_DOCUMENTS) if kind is LEAKY else documents,
        arguments=("--writers", str(chance.randint(1, 4)), *memory),
        blows=tuple(blows),
    )


def random_round(seed: int, stage: Stage, tally: Tally) -> str:
    """Play the round of a seed, and return the line about it."""
    plan_, began = plan(seed), time.monotonic()
    attempts, struck = _played(plan_, stage, tally)
    tally.update(rounds=1, attempts=attempts, documents=plan_.documents)
    seconds = time.monotonic() - began
    return f"round {seed}: {plan_}: {', '.join(struck) or 'nothing'}: exact, {attempts} runs, {seconds:.1f} s"


def kills(seed: int, kind: Kind, number: int, stage: Stage, tally: Tally) -> str:
    """Kill runs of one kind that often, each at a random moment; return the line about it."""
    database = f"soak_kills_{kind.name}"
    with stage.alone.client() as client:
        cli, chance = stage.cli(ALONE, database), random.Random(f"{seed} {kind.name}")
        finished = sweep(cli, client[database], kind, chance, kills=number, documents=KILL_DOCUMENTS)
        client.drop_database(database)
    tally.update(kill=number, attempts=number + finished, documents=finished * KILL_DOCUMENTS)
    return f"{number} kills of {kind.name}: exact, {finished} times {KILL_DOCUMENTS:,} documents"


def group_kills(seed: int, kind: Kind, number: int, stage: Stage, tally: Tally) -> str:
    """Kill workers that share a migration of one kind that often; return the line about it."""
    database = f"soak_group_{kind.name}"
    with stage.alone.client() as client:
        cli, chance = stage.cli(ALONE, database), random.Random(f"{seed} group {kind.name}")
        finished = groups.sweep(cli, client[database], kind, chance, kills=number, documents=KILL_DOCUMENTS)
        client.drop_database(database)
    tally.update(kill=number, attempts=number + finished, documents=finished * KILL_DOCUMENTS)
    return f"{number} kills of workers of {kind.name}: exact, {finished} times {KILL_DOCUMENTS:,} documents"


def undos(seed: int, kind: Kind, number: int, stage: Stage, tally: Tally) -> str:
    """Take a migration there and back that often, killed on both ways; return the line about it."""
    database, played = f"soak_undo_{kind.name}", 0
    with stage.alone.client() as client:
        cli, chance = stage.cli(ALONE, database), random.Random(f"{seed} undo {kind.name}")
        for _ in range(number):
            kills_ = chance.randint(1, 6)
            played += there_and_back(
                cli, client[database], kind, chance, kills=kills_, documents=KILL_DOCUMENTS
            )
        client.drop_database(database)
    tally.update(undo=number, attempts=played, documents=number * KILL_DOCUMENTS)
    return f"{number} times {kind.name} there and back: byte for byte, {played} runs"


def races(seed: int, number: int, stage: Stage, tally: Tally) -> str:
    """Start that many pairs of runs together; return the line about it."""
    chance = random.Random(f"{seed} races")
    with stage.alone.client() as client:
        there = Scene(stage.cli(ALONE, "soak_races"), client["soak_races"], documents=2_000)
        for _ in range(number):
            client.drop_database("soak_races")
            there.prepare()
            race(there, chance)
            tally.update(race=1, attempts=2, documents=there.documents)
    return f"{number} pairs of runs started together: one ran each time, exact"


def _played(plan_: Plan, stage: Stage, tally: Tally) -> tuple[int, list[str]]:
    """Play a round; return how many runs it took, and what was done to them."""
    chance, place = random.Random(f"play {plan_.seed}"), stage.place(plan_.place)
    database = f"soak_{plan_.seed}"
    with place.client() as client, ExitStack() as stack:
        db = client[database]
        client.drop_database(database)
        data = plan_.kind.seed(chance, plan_.documents)
        insert(db, data)
        cli = stage.cli(plan_.place, database)
        cli.write(plan_.kind.source, NAME)
        round_ = Play(stage, place, cli, db, chance, stack, plan_.arguments)
        attempts = _attempts(round_, list(plan_.blows), tally)
        _compare(db, plan_.kind, data, tally)
        client.drop_database(database)
        return attempts, round_.struck


def _attempts(round_: Play, blows: list[Blow], tally: Tally) -> int:
    """Run until it is done, with one blow after the other while there are any; return the runs it took."""
    for attempt in range(1, MOST_ATTEMPTS + 1):
        round_.process = round_.begin()
        excuses = _struck(round_, blows, tally)
        last = ended(round_.process)
        if last.code == AGAIN and "lack of memory" in last.out:
            tally["memory"] += 1
            excuses |= {AGAIN}
        judge(last, excuses)
        if last.code == DONE:
            return attempt
    message = f"not done after {MOST_ATTEMPTS} attempts"
    raise AssertionError(message)


def _struck(round_: Play, blows: list[Blow], tally: Tally) -> frozenset[int]:
    """Strike while the run is at work; return what excuses its end."""
    excuses: frozenset[int] = frozenset()
    if round_.chance.random() < 0.8:
        begun(round_.process)
    while blows and not _over(round_):
        blow = blows.pop(0)
        with suppress(MissedError):
            blow.strike(round_)
            tally[blow.name] += 1
            round_.struck.append(blow.name)
        excuses |= blow.excuses
    return excuses


def _over(round_: Play) -> bool:
    with suppress(subprocess.TimeoutExpired):
        round_.process.wait(round_.chance.uniform(0, 0.5))
        return True
    return False


def _compare(db: Database[Any], kind: Kind, data: Data, tally: Tally) -> None:
    told = difference(db, kind.expected(data))
    tally["differences"] += bool(told)
    assert told == "", told
    poison = {order["_id"] for order in data["c"] if order.get("amount") == "five"}
    kept = [document["document"] for document in db.chunkmigrate_quarantine.find()]
    assert sorted(kept) == sorted(poison), f"in quarantine: {sorted(kept)}, poison: {sorted(poison)}"
    tally["quarantined"] += len(kept)
