"""python-binary-memcached: the binary protocol, with SASL where it is asked for."""

import bmemcached

from common import HOST, LARGE, PASSWORD, PORT, USER, pass_seconds


def run(*credentials):
    cache = bmemcached.Client([f"{HOST}:{PORT}"], *credentials)
    assert cache.flush_all()

    assert cache.get("nothing") is None
    assert cache.set("text", "grüße") and cache.get("text") == "grüße"
    assert cache.set("object", {"a": [1, 2.5, None]}) and cache.get("object") == {"a": [1, 2.5, None]}
    assert cache.set("large", LARGE) and cache.get("large") == LARGE
    assert cache.set("packed", b"x" * 500_000, compress_level=9)
    assert cache.get("packed") == b"x" * 500_000
    try:
        cache.set("large", LARGE * 3, compress_level=0)
        raise AssertionError("too large a value was stored")
    except bmemcached.exceptions.MemcachedException as error:
        assert error.code == 3, error

    many = {f"key-{i}": i for i in range(500)}
    assert cache.set_multi(many) == []
    assert cache.get_multi([*many, "nothing"]) == many
    assert cache.delete_multi(["key-1", "key-2"]) and cache.get_multi(["key-1", "key-2"]) == {}

    assert cache.add("once", 1) and not cache.add("once", 2) and cache.get("once") == 1
    assert cache.replace("once", 3) and not cache.replace("nothing", 3)
    assert cache.delete("once") and cache.get("once") is None

    assert cache.incr("count", 5, default=9) == 9 and cache.incr("count", 5) == 14
    assert cache.decr("count", 15) == 0

    assert cache.set("versions", "one")
    value, version = cache.gets("versions")
    assert cache.cas("versions", "two", version) and not cache.cas("versions", "three", version)
    assert cache.get("versions") == "two"

    assert cache.set("short", 1, time=100) and cache.set("long", 1, time=1000)
    pass_seconds(101)
    assert cache.get_multi(["short", "long"]) == {"long": 1}
    assert cache.set("gone", 1)
    assert cache.set("gone", 2, time=0xFFFFFFFF) and cache.get("gone") is None, "expired at once"
    assert cache.set("gone", 2, time=0xFFFFFFFE) and cache.get("gone") is None, "expired at once"

    assert "pid" in {str(name) for stats in cache.stats().values() for name in stats}
    assert cache.flush_all() and cache.get("long") is None
    cache.disconnect_all()


if USER:
    run(USER, PASSWORD)
    try:
        refused = bmemcached.Client([f"{HOST}:{PORT}"], USER, "wrong").set("a", 1)
        assert not refused, "a wrong password was let in"
    except bmemcached.exceptions.MemcachedException as error:
        assert error.code in (8, 32), error
else:
    run()
    # Configured with credentials against a server that asks for none, as in development.
    run("anybody", "anything")
