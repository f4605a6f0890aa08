"""The rules of lint, as tables: what each of them finds, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from chunkmigrate.linting.checking import File, check, read
from chunkmigrate.linting.findings import RULES, Finding
from chunkmigrate.migration import EXAMPLE

ROOT = Path(__file__).parents[2]
HEADER = """
import bson, random, secrets, time, uuid
import datetime as dt
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4
import pymongo
from chunkmigrate import Backfill, InsertOne, ReplaceOne, UpdateMany, UpdateOne, scan
"""


def found(code: str, source: str) -> list[Finding]:
    """What a rule finds in a source, to which the imports are added where the lines stay as they are."""
    return check(File(Path("m.py"), f"{dedent(source)}{HEADER}".encode()), frozenset({code}))


def acting(body: str) -> str:
    return f"def upgrade(db):\n{indent(dedent(body).strip(), '    ')}\n"


def transforming(answer: str, *, scan: str = "scan(db.orders)", options: str = "", before: str = "") -> str:
    return (
        f"{dedent(before)}\ndef upgrade(db):\n    return Backfill({scan}, change{options})\n\n"
        f"def change(order):\n    return {answer}\n"
    )


def keyed(value: str, before: str = "") -> str:
    """A transform that gives each document a key."""
    return transforming(f"UpdateOne({{'_id': order['_id']}}, {{'$set': {{'key': {value}}}}})", before=before)


def cases(**by_code: list[str]) -> list[tuple[str, str]]:
    return [(code, source) for code, sources in by_code.items() for source in sources]


FOUND = cases(
    CM101=["", "x = 1\n", '"""  """\n', "# A comment.\n", 'x = 1\n"""Too late."""\n'],
    CM102=[
        "def upgrade(db): pass\n",
        "def upgrade(db):\n    return None\n",
        "def upgrade(db):\n    return [Backfill(scan(db.a), f, undo=True), Backfill(scan(db.b), f)]\n",
        "def upgrade(db):\n    return Backfill(scan(db.a), f, undo=False)\n",
        "def upgrade(db):\n    db.a.update_many({}, {})\n    return Backfill(scan(db.a), f, undo=True)\n",
        "def act(db):\n    db.a.drop_index('x')\n\ndef upgrade(db):\n    act(db)\n",
    ],
    CM104=[
        "",
        "def up(db): pass\n",
        "class Upgrade: pass\n",
        "def upgrade(): pass\n",
        "def upgrade(*, db): pass\n",
        "def upgrade(db, session, *, x=1): pass\n",
        "async def upgrade(db): pass\n",
    ],
    CM105=[
        "NOW = datetime.now(UTC)\n",
        "NOW = dt.datetime.utcnow()\n",
        "NOW = int(time.time())\n",
        "client = pymongo.MongoClient()\n",
        "from pymongo import MongoClient\ndb = MongoClient('localhost').shop\n",
        "import urllib.request as r\nx = r.urlopen('http://x').read()\n",
        "import httpx as h\nif True:\n    h.get('x')\n",
        "from subprocess import check_output as ask\nrev = ask(['git'])\n",
        "import os\nclass A:\n    x = os.popen('ls')\n",
        "NAMES = open('names.txt').read()\n",
        "with open('names.txt') as f:\n    NAMES = f.read()\n",
        "def f(at=datetime.now()): pass\n",
        "def load():\n    return inner()\ndef inner():\n    return open('x')\nX = load()\n",
        "X = [time.time() for _ in range(2)]\n",
        "import socket\ntry:\n    s = socket.create_connection(('a', 1))\nexcept OSError:\n    s = None\n",
        "@partial(print, time.time())\ndef f(): pass\n",
    ],
    CM201=[
        acting(body)
        for body in (
            "db.a.update_many({}, {'$inc': {'n': 1}})",
            "db.a.update_one({'_id': 'x'}, {'$push': {'tags': 'new'}}, upsert=True)",
            "db.a.update_many({'n': {'$gt': 0}}, {'$mul': {'n': 100}})",
            "db.a.update_many({'n': {'$exists': True}}, {'$mul': {'n': 100}})",
            "db.a.update_many({'tags': 'old'}, {'$push': {'tags': 'new'}})",
            "db.a.update_many(filter={}, update={'$pop': {'tags': 1}})",
            "db['a'].find_one_and_update({}, {'$inc': {'n': -1}})",
            "db.a.update_many({}, [{'$set': {'n': {'$multiply': ['$n', 100]}}}])",
            "db.a.update_many({'n': {'$ne': None}}, [{'$set': {'n': {'$toInt': {'$add': ['$n', 1]}}}}])",
            "update = {'$inc': {'n': 1}}\ndb.a.update_many({}, update)",
            "for d in db.a.find():\n    db.a.update_one({'_id': d['_id']}, {'$set': {'n': d['n'] * 100}})",
            "for d in scan(db.a):\n    db.a.update_one({}, {'$set': {'n': d.get('n') * 9}})",
            "ops = [UpdateOne({'_id': d['_id']}, {'$inc': {'n': 1}}) for d in db.a.find({})]",
            "for d in db.a.find().sort('x'):\n    db.a.update_one({}, {'$set': {'n': f\"new-{d['n']}\"}})",
        )
    ]
    + [
        "UPDATE = {'$inc': {'n': 1}}\ndef upgrade(db): act(db)\ndef act(db): db.a.update_many({}, UPDATE)\n",
        "def upgrade(db): pass\ndef downgrade(db):\n    db.a.update_many({}, {'$inc': {'n': -1}})\n",
    ],
    CM202=[
        acting(f"{act}\nreturn Backfill(scan(db.a), f)")
        for act in (
            "db.b.rename('a')",
            "db['b'].drop_index('x_1')",
            "db.create_collection('a')",
            "db.settings.insert_one({'name': 'x'})",
        )
    ]
    + ["def make(db): db.create_collection('a')\ndef upgrade(db):\n    make(db)\n    return [f]\n"],
    CM203=[
        acting(body)
        for body in (
            "for d in db.a.find():\n    db.a.update_one({}, {})",
            "for d in db.a.find({'x': 1}, no_cursor_timeout=True):\n    db.a.replace_one({}, d)",
            "ops = []\nfor d in db.a.find():\n    ops.append(UpdateOne({'_id': d['_id']}, {}))",
            "db.a.bulk_write([UpdateOne({'_id': d['_id']}, {}) for d in db.a.find({})])",
            "cursor = db.a.find({}).sort('_id')\nfor d in cursor:\n    if d:\n        db.b.insert_one(d)",
            "for d in scan(db.a):\n    db.a.delete_one({'_id': d['_id']})",
        )
    ],
    CM204=[
        acting("return list(db.a.find({}).skip(100).limit(100))"),
        acting("cursor = db.a.find()\ncursor = cursor\nreturn db.a.find().sort('_id').skip(n)"),
        acting("found = db.a.find()\nreturn found.skip(5)"),
        "def page(db, n):\n    return db.a.find(skip=0).skip(n)\n",
    ],
    CM205=[
        acting(
            "while True:\n    d = db.a.find_one({'x': None})\n    if d is None:\n        return\n"
            "    db.a.update_one({'_id': d['_id']}, {'$set': {'y': 1}})"
        ),
        acting(
            "while ds := list(db.a.find({'x': 1}).limit(100)):\n    for d in ds:\n"
            "        db.a.update_one({'_id': d['_id']}, {'$inc': {'n': 1}})"
        ),
    ],
    CM301=[
        acting("db.a.update_many({}, {'$set': {'key': uuid4()}})"),
        acting("db.a.update_many({'x': 1}, [{'$set': {'key': str(uuid.uuid4())}}])"),
        acting("key = secrets.token_hex(8)\ndb.a.update_many({}, {'$set': {'key': key}})"),
        acting("update = {'$set': {'key': bson.ObjectId()}}\ndb.a.update_many({}, update)"),
        acting("key = uuid4()\nfor d in db.a.find():\n    db.a.update_one({}, {'$set': {'key': key.hex}})"),
        acting("return Backfill(scan(db.a), server=[{'$set': {'key': random.random()}}])"),
        acting("return Backfill(scan(db.a), server=[{'$set': {'key': {'$literal': str(uuid4())}}}])"),
        acting("k = uuid4()\nreturn Backfill(scan(db.a), lambda d: UpdateOne({}, {'$set': {'key': k}}))"),
        keyed("KEY", "KEY = uuid4()"),
        keyed("str(KEY)", "KEY = bson.ObjectId()"),
        transforming(
            "UpdateOne({'_id': order['_id']}, UPDATE)", before="UPDATE = {'$set': {'key': uuid4()}}"
        ),
        transforming(
            "ReplaceOne({'_id': order['_id']}, {**order, 'key': KEY})", before="KEY = random.randint(1, 9)"
        ),
        keyed("key").replace("(order)", "(order, key=uuid4())"),
    ],
    CM302=[
        transforming(answer)
        for answer in (
            "UpdateOne({'number': order['number']}, {'$set': {'x': 1}})",
            "UpdateOne({}, {'$set': {'x': 1}})",
            "[ReplaceOne({'id': order['_id']}, order)]",
            "pymongo.DeleteOne({'a.b': 1})",
        )
    ],
    CM303=[
        transforming("InsertOne({**order, '_id': uuid4()})"),
        transforming("InsertOne({'_id': str(order['_id']) + 'b', 'x': 1})"),
        transforming("InsertOne({**order, '_id': uuid4()})", scan="scan(db.orders, {'status': 'open'})"),
    ],
    CM304=[
        transforming("UpdateOne({'_id': order['_id']}, {'$set': {'x': order['y'], 'z': order.get('z')}})"),
        transforming("None if 'x' in order else UpdateOne({'_id': order['_id']}, {'$set': {'x': 1}})"),
        transforming("UpdateOne({'_id': order['_id']}, {'$set': {'x': order['a']['b'][0]}})"),
        transforming("None", scan="scan(db.orders, {'x': 1})"),
        acting(
            "def change(orders):\n    return [UpdateOne({'_id': o['_id']}, {}) for o in orders]\n"
            "return Backfill(scan(db.orders), each_chunk=change)"
        ),
        acting("s = scan(db.a)\nreturn [Backfill(s, f), Backfill(s, f)]") + "def f(o): return o['x']\n",
        acting(
            "orders = scan(db.orders)\nreturn Backfill(orders, lambda o: UpdateOne({'_id': o['_id']}, {}))"
        ),
    ],
    CM305=[
        acting("def change(o):\n    db.b.insert_one({'of': o['_id']})\nreturn Backfill(scan(db.a), change)"),
        acting("return Backfill(scan(db.a), lambda o: db.a.update_one({'_id': o['_id']}, {}))"),
        "def send(o):\n    C.bulk_write([])\ndef change(o):\n    return send(o)\nB = Backfill(s, change)\n",
    ],
    CM306=[transforming("time.sleep(1)"), transforming("wait()", before="def wait():\n    time.sleep(1)\n")],
)

LEFT_ALONE = cases(
    CM101=['"""Index."""\n', "# -*- coding: utf-8 -*-\n'Index.'\n"],
    CM102=[
        "def upgrade(db): pass\ndef downgrade(db): pass\n",
        "from shop.migrations import downgrade\ndef upgrade(db): pass\n",
        "from shop.migrations import *\ndef upgrade(db): pass\n",
        "import shop\ndef upgrade(db): pass\ndowngrade = shop.nothing\n",
        "from shop import steps\ndef upgrade(db):\n    return steps(db)\n",
        "def upgrade(db):\n    return [Backfill(s, f, undo=True), Backfill(s, f, undo=UNDO)]\n",
        "def upgrade(db):\n    db.a.create_index('x')\n    return Backfill(scan(db.a), f, undo=True)\n",
        "def upgrade(db):\n    return Backfill(scan(db.a), f, **OPTIONS)\n",
        "x = 1\n",
    ],
    CM104=[
        "def upgrade(db): pass\n",
        "def upgrade(db, dry=False, *, x=1): pass\n",
        "def upgrade(*args): pass\n",
        "from shop import upgrade\n",
        "from shop import *\n",
        "import shop\nupgrade = shop.upgrade\n",
        "try:\n    from a import upgrade\nexcept ImportError:\n    from b import upgrade\n",
        "@wraps\ndef upgrade(db): pass\n",
        "upgrade = lambda db: None\n",
    ],
    CM105=[
        "def upgrade(db):\n    return datetime.now(UTC)\n",
        "EPOCH = datetime(2026, 1, 1, tzinfo=UTC)\nX = dt.datetime.fromisoformat('2026-01-01')\n",
        "now = lambda: datetime.now(UTC)\n",
        "if __name__ == '__main__':\n    pymongo.MongoClient()\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    X = open('x')\n",
        "NAMES = open(__file__ + '.txt').read()\n",
        "import requests\nsession = requests.Session()\n",
        "def open(x): return x\nX = open('x')\n",
        "import time as t\nclock = t.monotonic\nSTART = t.perf_counter()\n",
        "class time:\n    def time(self): return 1\nX = time().time()\n",
        "from shop import datetime as shops\nX = shops.now()\n",
        "import os\nX = os.environ.get('X')\n",
        "class A:\n    def f(self):\n        return time.time()\n",
    ],
    CM201=[
        acting(body)
        for body in (
            "db.a.update_many({}, {'$set': {'n': 1}})",
            "db.a.update_many({}, {'$addToSet': {'tags': 'x'}, '$unset': {'b': ''}, '$max': {'n': 5}})",
            "db.a.update_many({'v': 1}, {'$inc': {'v': 1}})",
            "db.a.update_many({'done': {'$exists': False}}, {'$inc': {'n': 1}, '$set': {'done': True}})",
            "db.a.update_many({'tags': {'$ne': 'x'}}, {'$push': {'tags': 'x'}})",
            "db.a.update_many({'n': {'$lt': 100}}, {'$mul': {'n': 100}})",
            "db.a.update_many({'n': {'$type': 'double'}}, {'$mul': {'n': 100}})",
            "db.a.update_many({'$or': [{'n': 1}, {'n': 2}]}, {'$inc': {'n': 5}})",
            "db.a.update_many(FILTER, {'$inc': {'n': 1}})",
            "db.a.update_many({'x': make()}, make())",
            "db.a.update_many({}, {'$inc': {'n': 0}})",
            "db.a.update_many({}, {'$mul': {'n': 1}})",
            "if not db.b.find_one({'_id': 'done'}):\n    db.a.update_many({}, {'$inc': {'n': 1}})",
            "if db.b.find_one({'_id': 'done'}):\n    return\ndb.a.update_many({}, {'$inc': {'n': 1}})",
            "with db.client.start_session() as s:\n    db.a.update_many({}, {'$inc': {'n': 1}}, session=s)",
            "db.a.update_many({}, {'$inc': {'n': 1}}, session=s)",
            "db.a.update_many({}, [{'$set': {'n': {'$cond': ['$x', {'$add': ['$n', 1]}, 2]}}}])",
            "db.a.update_many({}, [{'$set': {'cents': {'$multiply': ['$price', 100]}}}])",
            "for d in db.a.find():\n    db.a.update_one({}, {'$set': {'cents': d['price'] * 100}})",
            "for d in db.a.find():\n    db.a.update_one({'_id': d['_id']}, {'$set': {'n': d['n'].strip()}})",
            "for d in db.a.find({'v': 1}):\n    db.a.update_one({}, {'$set': {'n': d['n'] * 100, 'v': 2}})",
            "for d in db.a.find():\n    if d['n'] < 5:\n        db.a.update_one({}, {'$inc': {'n': 1}})",
            "for d in somewhere():\n    db.a.update_one({'_id': d}, {'$inc': {'n': 1}})",
            "counts = collections.Counter()\ncounts.update({'$inc': {'n': 1}})",
            "op = UpdateOne({}, {'$inc': {'n': 1}})",
        )
    ]
    + [
        acting("if db.b.find_one({}):\n    act(db)\n")
        + "def act(db):\n    db.a.update_many({}, {'$inc': {'n': 1}})\n",
        acting("for name in NAMES:\n    act(db[name])\n")
        + "def act(a):\n    a.update_many({}, {'$inc': {'n': 1}})\n",
        acting("try:\n    if db.b.find_one({}):\n        return\nfinally:\n    pass\n")
        + "    db.a.update_many({}, {'$inc': {'n': 1}})\n",
        acting("ops = [UpdateOne({}, {'$inc': {'n': 1}}) for d in db.a.find() if d['n'] < 5]"),
        transforming("UpdateOne({'_id': order['_id']}, {'$inc': {'n': 1}})"),
        "def helper(db):\n    db.a.update_many({}, {'$inc': {'n': 1}})\ndef upgrade(db): pass\n",
    ],
    CM202=[
        acting("db.b.rename('a')"),
        acting("db.settings.insert_one({'name': 'x'})\nreturn None"),
        acting("db.settings.insert_one({'_id': 'x'})\nreturn Backfill(scan(db.a), f)"),
        acting("db.settings.insert_one({**X})\nreturn Backfill(scan(db.a), f)"),
        acting("db.a.create_index('x')\nreturn Backfill(scan(db.a), f)"),
        acting("with suppress(Exception):\n    db.b.rename('a')\nreturn Backfill(scan(db.a), f)"),
        acting("if 'b' in db.list_collection_names():\n    db.b.rename('a')\nreturn Backfill(scan(db.a), f)"),
        acting("try:\n    db.create_collection('a')\nexcept E:\n    pass\nreturn Backfill(scan(db.a), f)"),
        acting("Path('a').rename('b')\nframe.rename('x')\nreturn Backfill(scan(db.a), f)"),
    ],
    CM203=[
        acting("names = [d['name'] for d in db.a.find({})]"),
        acting("for d in db.a.find():\n    print(d)"),
        acting("for d in db.a.find().limit(10):\n    db.a.update_one({}, {})"),
        acting("for name in ('a', 'b'):\n    db[name].update_many({}, {'$set': {'x': 1}})"),
        acting("for row in table.find('tr'):\n    rows.append(row)"),
        acting("return Backfill(scan(db.a), f)"),
    ],
    CM204=[
        acting("db.a.find().limit(5)"),
        acting("db.a.find().skip(0)"),
        acting("parser.skip(5)\nfind(1).skip(2)"),
        acting("pytest.skip('no')"),
    ],
    CM205=[
        acting(
            "while True:\n    ds = list(db.a.find({'x': None}).limit(9))\n    if not ds:\n        break\n"
            "    db.a.bulk_write([UpdateOne({'_id': d['_id']}, {'$set': {'x': 1}}) for d in ds])"
        ),
        acting(
            "while True:\n    ds = list(db.a.find({'_id': {'$gt': last}}).limit(9))\n    if not ds:\n"
            "        break\n    db.a.update_many({}, {'$set': {'y': 1}})\n    last = ds[-1]['_id']"
        ),
        acting(
            "while True:\n    d = db.a.find_one({})\n    if not d:\n        break\n    db.a.delete_one(d)"
        ),
        acting(
            "while True:\n    d = db.a.find_one({'x': 1})\n    if d['n'] > 5:\n        break\n"
            "    db.a.update_one({}, {'$inc': {'n': 1}})"
        ),
        acting(
            "while n < 5:\n    d = db.a.find_one({})\n    db.a.update_one({}, {'$set': {'y': n}})\n    n += 1"
        ),
        acting(
            "while True:\n    d = db.a.find_one({})\n    if not d:\n        break\n    settle(d)\n"
            "    db.a.update_one({}, {'$set': {'y': 1}})\n"
        )
        + "def settle(d): pass\n",
    ],
    CM301=[
        acting("db.a.update_many({}, {'$set': {'at': datetime.now(UTC)}})"),
        acting("db.a.update_one({}, {'$set': {'key': uuid4()}})"),
        acting("db.a.update_many({'_id': 5}, {'$set': {'key': uuid4()}})"),
        acting(
            "for u in db.users.find():\n    db.a.update_many({'of': u['_id']}, {'$set': {'key': uuid4()}})"
        ),
        acting(
            "tenant = bson.ObjectId()\ndb.tenants.insert_one({'_id': tenant})\n"
            "db.a.update_many({}, {'$set': {'tenant': tenant}})"
        ),
        acting("run = uuid4()\nnote(run)\ndb.a.update_many({}, {'$set': {'run': run}})"),
        acting("db.a.update_many({}, {'$set': {'key': make_uuid4()}})"),
        acting("return Backfill(scan(db.a), server=[{'$set': {'at': '$$NOW', 'n': {'$rand': {}}}}])"),
        keyed("uuid4()"),
        transforming(
            "UpdateOne({'_id': order['_id']}, {'$set': {'key': f'{KEY}-{order[\"_id\"]}'}})",
            before="KEY = uuid4()",
        ),
        transforming(
            "UpdateOne({'_id': order['_id']}, {'$set': {'key': uuid.uuid5(KEY, order['x'])}})",
            before="KEY = uuid4()",
        ),
        transforming(
            "UpdateOne({'_id': order['_id']}, {'$set': {'key': RNG.random()}})",
            before="RNG = random.Random(1)",
        ),
        transforming(
            "UpdateOne({'_id': order['_id']}, {'$set': {'key': make()}})",
            before="def make(): return uuid4()\n",
        ),
        keyed("key").replace("    return U", "    key = uuid4()\n    return U"),
        transforming("UpdateMany({'of': order['_id']}, {'$set': {'key': uuid4()}})"),
    ],
    CM302=[
        transforming("UpdateOne({'_id': order['_id']}, {})"),
        transforming("UpdateOne({'_id.a': 1, 'x': 1}, {})"),
        transforming("UpdateOne({'$or': []}, {})"),
        transforming("UpdateOne({**key(order)}, {})"),
        transforming("UpdateOne(key(order), {})"),
        transforming("UpdateOne({'email': order['email']}, {}, upsert=True)"),
        transforming("UpdateOne({'n': order['n']}, {}, namespace='shop.x')"),
        transforming("UpdateOne({'n': order['n']}, {})", options=", into=db.others"),
        transforming("UpdateMany({'n': order['n']}, {})"),
        acting("db.a.update_one({'x': 1}, {})"),
    ],
    CM303=[
        transforming("InsertOne({**order, '_id': uuid4()})", options=", into=db.others"),
        transforming("InsertOne({**order, '_id': bson.ObjectId()})"),
        transforming("InsertOne({'x': 1})"),
        transforming("InsertOne({'_id': 'settings'})"),
        transforming("InsertOne({'_id': uuid4(), 'x': 1})", scan="scan(db.orders, {'status': 'open'})"),
        transforming("InsertOne({**order, '_id': uuid4(), 's': 2})", scan="scan(db.orders, {'s': 1})"),
        transforming("InsertOne({**order, '_id': uuid4()})", scan="scan(db.orders, FILTER)"),
    ],
    CM304=[
        transforming("UpdateOne({'_id': order['_id']}, {})", scan="scan(db.orders, fields=[])"),
        transforming("UpdateOne({'_id': order['_id']}, {})", scan="scan(db.orders, fields=FIELDS)"),
        transforming("UpdateOne({'_id': order['_id']}, {})", scan="scan(db.orders, **HOW)"),
        transforming("UpdateOne({'_id': order['_id']}, {'$set': {'x': total(order)}})"),
        transforming("ReplaceOne({'_id': order['_id']}, {**order, 'x': 1})"),
        transforming("UpdateOne({'_id': order['_id']}, {'$set': {'x': order[NAME]}})"),
        transforming("[order[name] for name in order]"),
        transforming("UpdateOne({'_id': order['_id']}, {})", options=", if_unchanged=True"),
        "import shop\ndef upgrade(db):\n    return Backfill(scan(db.a), shop.change)\n",
        "def upgrade(db):\n    return Backfill(scan(db.a), partial(f, 1))\ndef f(n, o): return o['x']\n",
        acting("return Backfill(scan(db.a), each_chunk=lambda orders: [f(o) for o in orders])"),
        acting("return Backfill(scan(db.a), each_chunk=lambda orders: [orders[0]['x']])"),
    ],
    CM305=[
        transforming("UpdateOne({'_id': order['_id']}, {})"),
        acting("db.a.update_one({}, {})\nreturn Backfill(scan(db.a), print)"),
        transforming("tags.insert(0, order) or order.update(x=1)"),
    ],
    CM306=[transforming("order['sleep']"), acting("time.sleep(1)\nreturn Backfill(scan(db.a), print)")],
)


@pytest.mark.parametrize(("code", "source"), FOUND)
def test_found(code: str, source: str) -> None:
    """What a rule is there for it finds, once."""
    assert [finding.code for finding in found(code, source)] == [code]


@pytest.mark.parametrize(("code", "source"), LEFT_ALONE)
def test_left_alone(code: str, source: str) -> None:
    """What is right, or cannot be told, a rule leaves alone."""
    assert found(code, source) == []


def test_own_migrations() -> None:
    """In the migrations of this repository, and in what `new` writes, nothing is found."""
    files = read((ROOT / "migrations").glob("*.py"))

    assert files
    for file in [*files, File(Path("20260105090000_new.py"), EXAMPLE.encode())]:
        assert check(file, frozenset(RULES)) == []


def test_line_and_words() -> None:
    """A finding names the file, the line, and what to do."""
    source = acting("x = 1\ndb.a.update_many({}, {'$inc': {'n': 1}})")
    [finding] = found("CM201", source)

    assert (finding.path, finding.line) == (Path("m.py"), 3)
    assert finding.message.startswith("changes n again each time it is done")
    assert "Return a Backfill" in finding.message


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ("order['b'], order.get('a'), order['_id']", '"a", "b"'),
        ("order['a']['b'], order['a']['c']", '"a"'),
        ("order['_id']", ""),
        ("1", ""),
    ],
)
def test_fields(answer: str, fields: str) -> None:
    """Where whole documents are read in vain, the fields to name are named."""
    [finding] = found("CM304", transforming(answer))

    assert finding.message.endswith(f"write fields=[{fields}].")
