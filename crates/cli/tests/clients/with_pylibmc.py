"""pylibmc, which is libmemcached: in both protocols, with SASL where it is asked for."""

import pylibmc

from common import HOST, LARGE, PASSWORD, PORT, USER, pass_seconds


def fails(error, function, *arguments):
    try:
        result = function(*arguments)
    except error:
        return
    raise AssertionError(f"{function.__name__}{arguments[0]!r} gave {result!r}, not {error}")


def run(binary, **options):
    cache = pylibmc.Client([f"{HOST}:{PORT}"], binary=binary, **options)
    cache.behaviors = {"cas": True, "tcp_nodelay": True}
    cache.flush_all()

    assert cache.get("nothing") is None
    assert cache.set("text", "grüße") and cache.get("text") == "grüße"
    assert cache.set("object", {"a": [1, 2.5, None]}) and cache.get("object") == {"a": [1, 2.5, None]}
    assert cache.set("large", LARGE) and cache.get("large") == LARGE
    assert cache.set("packed", b"x" * 500_000, min_compress_len=1000)
    assert cache.get("packed") == b"x" * 500_000
    fails(pylibmc.Error, cache.set, "too-large", b"x" * 2_000_000)

    many = {f"key {i}".replace(" ", "-"): i for i in range(500)}
    assert cache.set_multi(many) == []
    assert cache.get_multi([*many, "nothing"]) == many
    assert cache.delete_multi(["key-1", "key-2"]) and cache.get_multi(["key-1", "key-2"]) == {}

    assert cache.add("once", 1) and not cache.add("once", 2) and cache.get("once") == 1
    assert cache.replace("once", 3)
    if binary:
        fails(pylibmc.NotFound, cache.replace, "nothing", 3)
    else:
        assert not cache.replace("nothing", 3)
    assert cache.set("words", "b") and cache.append("words", "c") and cache.prepend("words", "a")
    assert cache.get("words") == "abc"
    assert cache.delete("once") and not cache.delete("once")

    assert cache.set("count", 9)
    assert cache.incr("count") == 10 and cache.incr("count", 90) == 100 and cache.decr("count", 1) == 99
    assert cache.get("count") == 99
    fails(pylibmc.NotFound, cache.incr, "nothing")

    value, version = cache.gets("count")
    assert cache.cas("count", 1, version) and not cache.cas("count", 2, version)
    assert cache.get("count") == 1

    assert cache.set("short", 1, time=100) and cache.set("long", 1, time=1000)
    assert cache.touch("count", 1000)
    pass_seconds(101)
    assert cache.get_multi(["short", "long", "count"]) == {"long": 1, "count": 1}
    assert cache.set("gone", 1) and cache.set("gone", 2, time=-1)
    assert cache.get("gone") is None, "expired at once"

    assert cache.get_stats()[0][1]["version"]
    assert cache.flush_all() and cache.get("long") is None
    cache.disconnect_all()


if USER:
    run(True, username=USER, password=PASSWORD)
    refused = pylibmc.Client([f"{HOST}:{PORT}"], binary=True, username=USER, password="wrong")
    fails(pylibmc.Error, refused.set, "a", 1)
else:
    run(True)
    run(False)
    # Configured with credentials against a server that asks for none, as in development.
    run(True, username="anybody", password="anything")
