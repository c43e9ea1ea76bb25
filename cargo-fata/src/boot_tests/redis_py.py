"""What redis-py does with a store in a guest; the only argument is its port on this machine. Ends with the number of checks."""

import sys
import threading

import redis

checks = 0


def same(found, wanted):
    global checks
    checks += 1
    assert found == wanted, f"check {checks}: {found!r} instead of {wanted!r}"


def refused(call, word):
    global checks
    checks += 1
    try:
        found = call()
    except redis.ResponseError as error:
        assert word in str(error), f"check {checks}: {error}"
    else:
        raise AssertionError(f"check {checks}: {found!r} instead of an error with {word}")


store = redis.Redis(port=int(sys.argv[1]), decode_responses=True, socket_timeout=30)
same(store.ping(), True)
same(store.flushall(), True)

# Strings.
same(store.set("a", 1), True)
same(store.get("a"), "1")
same(store.incr("a"), 2)
same(store.incrbyfloat("a", 0.5), 2.5)
same(store.decr("n", 3), -3)
same(store.set("x", "y", ex=100, nx=True), True)
same(store.set("x", "w", nx=True), None)
same(store.set("x", "z", get=True, keepttl=True), "y")
same(0 < store.ttl("x") <= 100, True)
same(store.persist("x"), True)
same(store.ttl("x"), -1)
same(store.mset({"m1": 1, "m2": 2}), True)
same(store.mget("m1", "m2", "m3"), ["1", "2", None])
same(store.msetnx({"m2": 1, "m4": 2}), False)
same(store.append("x", "zz"), 3)
same(store.getrange("x", 1, -1), "zz")
same(store.setrange("x", 5, "!"), 6)
same(store.strlen("x"), 6)
same(store.getdel("x"), "zzz\0\0!")
same(store.getset("m1", "new"), "1")
same(store.setbit("bits", 7, 1), 0)
same(store.bitcount("bits"), 1)
same(store.bitpos("bits", 1), 7)
same(store.bitop("NOT", "inverted", "bits"), 1)
refused(lambda: store.incr("m1"), "integer")

# Keys.
same(store.exists("a", "m1", "none"), 2)
same(store.type("a"), "string")
same(store.rename("m1", "m5"), True)
same(store.copy("m5", "m6"), True)
same(store.delete("m5", "m6", "none"), 2)
same(store.expire("a", 1000), True)
same(store.pexpireat("a", 32503680000000), True)
same(store.execute_command("PEXPIRETIME", "a"), 32503680000000)
same(store.object("encoding", "n"), "int")
same(sorted(store.keys("m*")), ["m2"])
same(store.randomkey() is not None, True)
same(store.touch("a", "n"), 2)
same(store.unlink("n"), 1)

# Hashes.
same(store.hset("h", mapping={"a": 1, "b": 2}), 2)
same(store.hgetall("h"), {"a": "1", "b": "2"})
same(store.hmget("h", "a", "c"), ["1", None])
same(store.hincrby("h", "a", 5), 6)
same(store.hincrbyfloat("h", "b", 0.25), 2.25)
same(store.hsetnx("h", "a", 0), 0)
same(store.hexists("h", "b"), True)
same(store.hdel("h", "b"), 1)
same(store.hlen("h"), 1)
same(dict(store.hscan_iter("h")), {"a": "6"})
refused(lambda: store.lpush("h", 1), "WRONGTYPE")

# Lists.
same(store.rpush("l", 1, 2, 3), 3)
same(store.lpush("l", 0), 4)
same(store.lrange("l", 0, -1), ["0", "1", "2", "3"])
same(store.lpop("l", 2), ["0", "1"])
same(store.linsert("l", "before", "3", "2.5"), 3)
same(store.lindex("l", 1), "2.5")
same(store.lset("l", 1, "x"), True)
same(store.lpos("l", "x"), 1)
same(store.lrem("l", 0, "x"), 1)
same(store.ltrim("l", 0, 0), True)
same(store.lmove("l", "l2", "LEFT", "RIGHT"), "2")
same(store.blpop("l2", 1), ("l2", "2"))
same(store.blpop("l2", 1), None)

# Sets.
same(store.sadd("s", "a", "b", "c"), 3)
same(store.smembers("s"), {"a", "b", "c"})
same(store.sismember("s", "a"), True)
same(store.smismember("s", "a", "z"), [1, 0])
same(store.sadd("t", "b", "z"), 2)
same(store.sinter("s", "t"), {"b"})
same(store.sunion("s", "t"), {"a", "b", "c", "z"})
same(store.sdiffstore("u", "s", "t"), 2)
same(store.smove("s", "t", "a"), True)
same(store.srem("s", "b"), 1)
same(store.spop("s"), "c")
same(store.scard("s"), 0)

# Sorted sets.
same(store.zadd("z", {"a": 1, "b": 2.5, "c": 3}), 3)
same(store.zrange("z", 0, -1, withscores=True), [("a", 1.0), ("b", 2.5), ("c", 3.0)])
same(store.zadd("z", {"a": 5}, gt=True, ch=True), 1)
same(store.zscore("z", "a"), 5.0)
same(store.zincrby("z", 2, "b"), 4.5)
same(store.zrank("z", "b"), 1)
same(store.zrevrange("z", 0, 0), ["a"])
same(store.zrangebyscore("z", "(3", "+inf"), ["b", "a"])
same(store.zcount("z", 3, 5), 3)
same(store.zpopmin("z"), [("c", 3.0)])
same(store.zunion(["z", "z"], withscores=True), [("b", 9.0), ("a", 10.0)])
same(store.bzpopmax("z", 1), ("z", "a", 5.0))
same(store.zremrangebyrank("z", 0, -1), 1)

# Many keys.
with store.pipeline(transaction=False) as pipe:
    for n in range(2000):
        pipe.set(f"key:{n}", n)
    same(pipe.execute(), [True] * 2000)
same(len(set(store.scan_iter("key:*"))), 2000)
same(store.sort("t", alpha=True, desc=True), ["z", "b", "a"])

# Transactions.
with store.pipeline() as pipe:
    pipe.set("k", 1).incr("k").get("k")
    same(pipe.execute(), [True, 2, "2"])


def add_one(pipe):
    value = int(pipe.get("k"))
    pipe.multi()
    pipe.set("k", value + 1)


same(store.transaction(add_one, "k"), [True])
same(store.get("k"), "3")
with store.pipeline() as pipe:
    pipe.watch("k")
    store.set("k", "changed")
    pipe.multi()
    pipe.get("k")
    try:
        pipe.execute()
        raise AssertionError("a watched key was changed")
    except redis.WatchError:
        checks += 1

# Messages.
channel = store.pubsub()
channel.subscribe("news")
channel.psubscribe("n*")
same([channel.get_message(timeout=10)["type"] for _ in range(2)], ["subscribe", "psubscribe"])
same(store.publish("news", "hello"), 2)
same(sorted(channel.get_message(timeout=10)["type"] for _ in range(2)), ["message", "pmessage"])
same(store.pubsub_numsub("news"), [("news", 1)])
channel.close()

# Many clients at once.
def count():
    for _ in range(50):
        store.incr("counter")


threads = [threading.Thread(target=count) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
same(store.get("counter"), "400")

# The server.
same(store.info()["redis_version"].split(".")[0], "7")
same(store.config_get("maxmemory-policy"), {"maxmemory-policy": "noeviction"})
same(store.client_setname("table"), True)
same(store.client_getname(), "table")
same(any(client["name"] == "table" for client in store.client_list()), True)
same(store.dbsize() > 2000, True)
same(store.echo("words"), "words")
same(len(store.time()), 2)
same(store.memory_usage("h") > 0, True)
refused(lambda: store.execute_command("NOSUCH"), "unknown command")
same(store.flushdb(), True)
same(store.dbsize(), 0)
print(checks, "checks")
