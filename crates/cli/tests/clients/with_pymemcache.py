"""pymemcache: the text protocol; the credentials are the data of a first `set`."""

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheServerError

from common import HOST, LARGE, PASSWORD, PORT, USER, pass_seconds


def log_in():
    """On a new connection: the client does not do it, and makes one after each error of a server."""
    if USER:
        assert cache.set("auth", f"{USER} {PASSWORD}")


cache = Client((HOST, PORT), default_noreply=False, no_delay=True)
if USER:
    refused = Client((HOST, PORT), default_noreply=False)
    try:
        refused.set("auth", f"{USER} wrong")
        raise AssertionError("a wrong password was let in")
    except Exception as error:
        assert "authentication failure" in str(error), error
    refused.close()
log_in()
assert cache.get("auth") is None, "that was no set"
assert cache.flush_all()

assert cache.get("nothing") is None
assert cache.set("text", "hello", flags=7) and cache.get("text") == b"hello"
assert cache.set("empty", "") and cache.get("empty") == b""
assert cache.set("large", LARGE) and cache.get("large") == LARGE
try:
    cache.set("large", LARGE * 3)
    raise AssertionError("too large a value was stored")
except MemcacheServerError as error:
    assert "too large" in str(error), error
log_in()
assert cache.get("large") is None

many = {f"key-{i}": str(i).encode() for i in range(500)}
assert cache.set_multi(many) == []
assert cache.get_multi([*many, "nothing"]) == many
assert cache.delete_multi(["key-1", "key-2"]) and cache.get_multi(["key-1", "key-2"]) == {}

assert cache.add("once", "1") and not cache.add("once", "2") and cache.get("once") == b"1"
assert cache.replace("once", "3") and not cache.replace("nothing", "3")
assert cache.set("words", "b") and cache.append("words", "c") and cache.prepend("words", "a")
assert cache.get("words") == b"abc"
assert cache.delete("once") and not cache.delete("once")

assert cache.set("count", "9")
assert cache.incr("count", 1) == 10 and cache.incr("count", 90) == 100 and cache.decr("count", 1) == 99
assert cache.incr("nothing", 1) is None

value, version = cache.gets("words")
assert value == b"abc" and cache.cas("words", "one", version) and not cache.cas("words", "two", version)
assert cache.cas("nothing", "one", version) is None

# Without waiting for replies.
for i in range(1000):
    assert cache.set(f"many-{i}", str(i), noreply=True)
assert cache.get("many-999") == b"999"

assert cache.set("short", "1", expire=100) and cache.set("long", "1", expire=1000)
assert cache.touch("words", 1000) and not cache.touch("nothing", 1)
pass_seconds(101)
assert cache.get_many(["short", "long", "words"]) == {"long": b"1", "words": b"one"}
assert cache.set("gone", "1") and cache.set("gone", "2", expire=-1)
assert cache.get("gone") is None, "expired at once"

assert cache.stats()[b"pid"] and cache.version()
assert cache.raw_command("mg long v f").startswith(b"VA 1 f0")
assert cache.flush_all() and cache.get("long") is None
cache.quit()
