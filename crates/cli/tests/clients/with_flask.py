"""What `larder provision --format flask` prints, used by several threads as Flask has them."""

import sys
import threading

exec(open(sys.argv[1]).read())
done = []


def view(number):
    with cache.reserve() as client:
        assert client.set(f"key-{number}", number) and client.get(f"key-{number}") == number
        done.append(number)


threads = [threading.Thread(target=view, args=[number]) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sorted(done) == [0, 1, 2, 3], done
