"""Django with a provisioned cache: the tutorials' settings, or those that `larder provision` prints."""

import sys

import django
from django.conf import settings

import django_tutorial

which = sys.argv[1]
if which == "tutorial":
    backend, caches = "BMemcached", django_tutorial.get_cache()
elif which == "tutorial-pylibmc":
    backend, caches = "PyLibMCCache", django_tutorial.get_cache_of_pylibmc()
    # A machine that is busy with other tests may take longer than an application would wait.
    behaviors = caches["default"]["OPTIONS"]["behaviors"]
    for name in ["connect_timeout", "send_timeout", "receive_timeout", "_poll_timeout"]:
        behaviors[name] *= 20
else:
    backend, scope = "BMemcached", {}
    exec(open(which).read(), scope)
    caches = scope["CACHES"]

settings.configure(
    CACHES=caches,
    SECRET_KEY="a test",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import cache
from django.core.cache.utils import make_template_fragment_key
from django.template import engines

# The settings fall back to a cache in the process when something is wrong, without a word.
assert type(cache._connections[cache._alias]).__name__ == backend, cache._connections[cache._alias]
cache.clear()

# The shell of the tutorial.
assert cache.get("foo") is None
cache.set("foo", "bar")
assert cache.get("foo") == "bar"

# The list of tasks, and the four ways to keep it fresh.
tasks = [{"id": i, "name": f"Mehl {i} für Brot"} for i in range(3)]
cache.set("tasks.all", tasks, 500)
assert cache.get("tasks.all") == tasks
cache.set("tasks.all", tasks)
cache.delete("tasks.all")
assert cache.get("tasks.all") is None

# What else Django asks of a cache.
assert cache.add("once", 1) and not cache.add("once", 2)
assert cache.incr("once") == 2 and cache.decr("once") == 1
cache.set_many({f"key-{i}": i for i in range(100)})
assert cache.get_many([f"key-{i}" for i in range(0, 200, 2)]) == {f"key-{i}": i for i in range(0, 100, 2)}
cache.delete_many([f"key-{i}" for i in range(50)])
assert cache.get("key-1") is None and cache.get("key-99") == 99
assert cache.get_or_set("computed", lambda: 42) == 42 and cache.get("computed") == 42
if backend == "PyLibMCCache":  # The other library knows no touch.
    assert cache.touch("computed", 100) and not cache.touch("nothing", 100)

# Fragments: rendered once for each task.
rendered = []
template = engines["django"].from_string(
    "{% load cache %}{% for task in tasks %}{% cache None task-fragment task.id %}<td>{{ task.shown }}</td>"
    "{% endcache %}{% endfor %}"
)


class Task:
    def __init__(self, id):
        self.id = id

    def shown(self):
        rendered.append(self.id)
        return f"task {self.id}"


for _ in range(3):
    html = template.render({"tasks": [Task(i) for i in range(3)]})
    assert html.count("<td>") == 3, html
assert rendered == [0, 1, 2], rendered
cache.delete(make_template_fragment_key("task-fragment", [1]))
template.render({"tasks": [Task(i) for i in range(3)]})
assert rendered == [0, 1, 2, 1], rendered

# Sessions.
session = SessionStore()
session["name"] = "Ann"
session.save()
assert SessionStore(session.session_key)["name"] == "Ann"
