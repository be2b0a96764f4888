"""The facts on trio: one function per fact. A callback is `run_sync_soon`, a gather is a nursery.

Prints `ID<TAB>answer`, or `ID<TAB>-<TAB>why` where the question has no meaning here."""

import gc, inspect, os, signal, socket, subprocess, sys, threading, time
from functools import partial

import trio

FACTS = {}
# Of 50: slower than the luckiest, faster than what a busy machine holds up.
TENTH = 5
# Of how many of two children the clean-up was awaited.
AWAITED = ["is not awaited", "is awaited of the first", "is awaited"]
NO_MEANING = {
    "11": "a callback cannot be taken back",
    "19b": "a task cannot be awaited",
    "26": "there is no promise, an Event holds no value",
    "35": "a nursery returns no results",
    "41": "a nursery returns no results",
    "56": "nothing waits for the first of several tasks",
}


def fact(name):
    def keep(function):
        FACTS[name] = function
        return function
    return keep


class Turns(trio.abc.Instrument):
    """Counts turns of the loop."""

    def __enter__(self):
        self.count = 0
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_):
        trio.lowlevel.remove_instrument(self)

    def before_io_wait(self, timeout):
        self.count += 1


def turns(count):
    return "no turn" if count == 0 else "1 turn" if count == 1 else f"{count} turns"


def call_soon(function, *arguments):
    trio.lowlevel.current_trio_token().run_sync_soon(function, *arguments)


async def append(to, item):
    to.append(item)


def rounds(orders):
    """How three tasks that step three times took turns, in several trials."""
    if any(sorted(order[i:i + 3]) != list("abc") for order in orders for i in (0, 3, 6)):
        return "do not take turns"
    if len(orders) > 1:
        return "take turns at random"
    return "take turns in order" if orders == {"abcabcabc"} else "take turns in changing order"


async def gives_way(step):
    """Whether the loop takes a turn, and others with it, while `step` is awaited."""
    with Turns() as loop:
        await step
        return "gives way" if loop.count else "goes on"


def fixed(orders):
    """The order that all trials had."""
    return orders.pop() if len(orders) == 1 else "at random"


@fact("01")
async def callbacks_in_order():
    got = []
    for i in range(10):
        call_soon(got.append, i)
    await trio.sleep(0.02)
    return "in order" if got == sorted(got) else "not in order"


@fact("02")
async def what_a_callback_queues():
    got = []
    call_soon(lambda: (got.append("a"), call_soon(got.append, "c")))
    call_soon(got.append, "b")
    await trio.sleep(0.02)
    return {"abc": "after what was queued", "acb": "before what was queued"}["".join(got)]


@fact("03")
async def yielding_for_ever():
    fired, due, turns_left = [], time.monotonic() + 0.02, 10_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sleeps, 0.02, fired)
        while not fired and turns_left:
            await trio.lowlevel.checkpoint()
            turns_left -= time.monotonic() > due
        return "fires" if fired else "starves"


async def sleeps(delay, to, item=1):
    await trio.sleep(delay)
    to.append(item)


@fact("04")
async def order_in_a_turn():
    orders = set()
    for _ in range(20):
        got = []
        ours, theirs = socket.socketpair()
        async def reads():
            await trio.lowlevel.wait_readable(ours)
            got.append("socket")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reads)
            nursery.start_soon(sleeps, 0.005, got, "timer")
            await trio.sleep(0.001)
            theirs.send(b"x")
            time.sleep(0.01)
            call_soon(got.append, "callback")
        orders.add(", ".join(got))
    return fixed(orders)


@fact("05")
async def a_timer_of_zero():
    orders = set()
    for _ in range(20):
        got = []
        async with trio.open_nursery() as nursery:
            async def timer():
                nursery.start_soon(append, got, "callback first")
                time.sleep(0.005)
                await trio.sleep(0)
                got.append("timer first")
            nursery.start_soon(timer)
        orders.add(got[0])
    return fixed(orders)


@fact("06")
async def timers_by_deadline():
    got = []
    async with trio.open_nursery() as nursery:
        for delay in (300, 100, 200):
            nursery.start_soon(sleeps, delay / 1000, got, delay)
    return "by deadline" if got == [100, 200, 300] else "not by deadline"


@fact("07")
async def timers_of_one_deadline():
    orders = set()
    for _ in range(20):
        got, deadline = [], trio.current_time() + 0.01
        async def timer(i):
            await trio.sleep_until(deadline)
            got.append(i)
        async with trio.open_nursery() as nursery:
            for i in range(10):
                nursery.start_soon(timer, i)
                await trio.lowlevel.checkpoint()
        orders.add(tuple(got))
    if orders == {tuple(range(10))}:
        return "in order"
    return "in another order" if len(orders) == 1 else "in changing order"


@fact("08")
async def due_timers_together():
    got = []
    async with trio.open_nursery() as nursery:
        async def timer(delay):
            await trio.sleep(delay / 1000)
            got.append("t")
            nursery.start_soon(append, got, "o")
        for delay in (1, 2, 3):
            nursery.start_soon(timer, delay)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        time.sleep(0.01)
    return "before anything else" if "".join(got).startswith("ttt") else "one by one"


@fact("09")
async def a_short_sleep():
    return "is rounded up" if (await lasted(0.0001))[TENTH] >= 0.0005 else "is not"


@fact("09b")
async def never_early():
    return "never early" if (await lasted(0.0014))[0] >= 0.0014 else "early"


async def lasted(seconds):
    """How long 50 sleeps lasted, the shortest first."""
    lasted = []
    for _ in range(50):
        began = time.monotonic()
        await trio.sleep(seconds)
        lasted.append(time.monotonic() - began)
    return sorted(lasted)


@fact("12")
def a_callback_that_fails():
    went_on = []
    async def main():
        call_soon(lambda: 1 / 0)
        await trio.sleep(0.02)
        went_on.append(1)
    try:
        trio.run(main)
    except BaseException:
        pass
    return "goes on" if went_on else "ends"


@fact("16")
async def woken_by_a_thread():
    token, woken, began = trio.lowlevel.current_trio_token(), trio.Event(), time.monotonic()
    threading.Timer(0.05, lambda: token.run_sync_soon(woken.set)).start()
    with trio.move_on_after(5):
        await woken.wait()
    return "at once" if time.monotonic() - began < 2.5 else "at the next timer"


@fact("17")
async def blocking_code():
    began, fired = time.monotonic(), []
    async with trio.open_nursery() as nursery:
        async def timer():
            await trio.sleep(0.01)
            fired.append(time.monotonic() - began)
        nursery.start_soon(timer)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        time.sleep(0.1)
    return "waits" if fired[0] >= 0.1 else "fires"


@fact("18")
async def a_new_task_begins():
    ran = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(append, ran, 1)
        return "at once" if ran else "later"


@fact("18b")
async def new_tasks_in_order():
    for _ in range(20):
        got = []
        async with trio.open_nursery() as nursery:
            for i in range(10):
                nursery.start_soon(append, got, i)
        if got != sorted(got):
            return "in changing order"
    return "in order"


@fact("19")
async def awaiting_a_coroutine():
    return await gives_way(append([], 1))


@fact("20")
async def sleeping_for_zero():
    with Turns() as loop:
        await trio.sleep(0)
        return turns(loop.count) if loop.count < 2 else "until a timer"


@fact("22")
async def tasks_that_yield():
    orders = set()
    for _ in range(20):
        got = []
        async def step(name):
            for _ in range(3):
                got.append(name)
                await trio.sleep(0)
        async with trio.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(step, name)
        orders.add("".join(got))
    return rounds(orders)


@fact("23")
async def setting_a_promise():
    promise, got = trio.Event(), []
    async def waits():
        await promise.wait()
        got.append(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits)
        await trio.sleep(0.01)
        promise.set()
        return "at once" if got else "later"


@fact("25")
async def awaiting_a_promise_that_is_set():
    promise = trio.Event()
    promise.set()
    return await gives_way(promise.wait())


@fact("25b")
async def awaiting_what_is_ready():
    semaphore, ran = trio.Semaphore(1), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(append, ran, 1)
        for _ in range(100_000):
            async with semaphore:
                pass
            if ran:
                break
        return "run meanwhile" if ran else "starve"


@fact("27")
async def through_five_tasks():
    with Turns() as loop:
        at_leaf = []
        async def via(depth):
            if depth == 0:
                await trio.sleep(0)
                at_leaf.append(loop.count)
                return
            async with trio.open_nursery() as nursery:
                nursery.start_soon(via, depth - 1)
        await via(5)
        return turns(loop.count - at_leaf[0])


@fact("28")
async def nobody_holds_it():
    ended = []
    async def waits():
        try:
            await trio.sleep_forever()
        finally:
            ended.append(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits)
        await trio.sleep(0.01)
        gc.collect()
        answer = "is collected" if ended else "goes on"
        nursery.cancel_scope.cancel()
    return answer


@fact("29")
async def never_awaited():
    ran = []
    coroutine = append(ran, 1)
    await trio.sleep(0.01)
    coroutine.close()
    return "begins" if ran else "never begins"


async def fails(delay):
    await trio.sleep(delay)
    raise ValueError


@fact("30")
def a_lost_failure():
    went_on = []
    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails, 0)
            await trio.sleep(0.02)
            went_on.append(1)
    try:
        trio.run(main)
    except BaseException:
        pass
    return "goes on" if went_on else "ends"


@fact("36")
async def gather_makes_tasks():
    ran = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(append, ran, 1)
        await trio.sleep(0.01)
        return "begin" if ran else "do not begin"


@fact("37")
async def the_way_back_from_gather():
    with Turns() as loop:
        ended = []
        async def child():
            await trio.sleep(0)
            ended.append(loop.count)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(child)
        return turns(loop.count - ended[1])


@fact("38")
async def gather_of_nothing():
    async def gathers():
        async with trio.open_nursery():
            pass
    return await gives_way(gathers())


@fact("40")
async def the_first_failure():
    ended = []
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails, 0.01)
            nursery.start_soon(sleeps, 0.1, ended)
    except* ValueError:
        pass
    await trio.sleep(0.15)
    return "run on" if ended else "are cancelled"


FACTS["54"] = the_first_failure


async def slow_to_leave(cleaned, seconds=0.03):
    try:
        await trio.sleep(9)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds)
            cleaned.append(1)


async def cancelled(task):
    """Runs a task, cancels it once it waits, and returns when it has ended."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
        await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


@fact("43")
async def a_cancelled_gather():
    cleaned, seen = [], []
    async def gathers():
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(slow_to_leave, cleaned)
                nursery.start_soon(slow_to_leave, cleaned, 0.5)
        finally:
            seen.append(len(cleaned))
    await cancelled(gathers)
    return AWAITED[seen[0]]


async def leaves(words, to):
    try:
        await trio.sleep(9)
    finally:
        to.append(words)


@fact("44")
async def cancel_takes_effect():
    left = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leaves, 1, left)
        await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
        answer = "at the call" if left else "later"
    return answer if left else "never"


@fact("45")
async def cancelled_before_it_began():
    ran = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(append, ran, 1)
        nursery.cancel_scope.cancel()
    return "begins" if ran else "never begins"


@fact("46")
async def handling_every_error():
    got = []
    async def handles():
        try:
            await trio.sleep(9)
        except Exception:
            got.append(1)
    await cancelled(handles)
    return "swallows it" if got else "does not see it"


@fact("47")
async def refusing():
    got = []
    async def refuses():
        try:
            await trio.sleep(9)
        except trio.Cancelled:
            pass
        got.append(1)
    await cancelled(refuses)
    return "yes" if got else "no"


@fact("47b")
async def awaiting_after_refusing():
    got = []
    async def refuses():
        try:
            await trio.sleep(9)
        except trio.Cancelled:
            pass
        try:
            await trio.sleep(0.01)
            got.append("goes on")
        except trio.Cancelled:
            got.append("is cancelled too")
            raise
    await cancelled(refuses)
    return got[0]


@fact("48")
async def inner_and_outer():
    ended = []
    async def outer():
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(leaves, "inner first", ended)
        finally:
            ended.append("outer first")
    await cancelled(outer)
    return ended[0] if len(ended) == 2 else "inner runs on"


@fact("49")
async def at_the_deadline():
    cleaned = []
    with trio.move_on_after(0.01):
        await slow_to_leave(cleaned)
    return "is awaited" if cleaned else "is not awaited"


@fact("50")
async def a_timeout_of_zero():
    ran = []
    with trio.move_on_after(0):
        await append(ran, 1)
    return "begins" if ran else "never begins"


@fact("50b")
async def what_is_ready_at_zero():
    promise = trio.Event()
    promise.set()
    try:
        with trio.fail_after(0):
            await promise.wait()
    except trio.TooSlowError:
        return "times out"
    return "is returned"


@fact("51")
async def swallowing_a_timeout():
    async def swallows():
        try:
            await trio.sleep(9)
        except trio.Cancelled:
            return "its value"
    try:
        with trio.fail_after(0.01):
            return await swallows()
    except trio.TooSlowError:
        return "the timeout"


@fact("53")
async def a_shield():
    ended, seen = [], []
    async def waits():
        try:
            with trio.CancelScope(shield=True):
                await sleeps(0.1, ended)
            await trio.lowlevel.checkpoint()
        finally:
            seen.append("waits for it" if ended else "leaves at once")
    await cancelled(waits)
    return seen[0]


@fact("58")
async def a_semaphore_serves():
    for _ in range(20):
        semaphore, got = trio.Semaphore(0), []
        async def enters(i):
            async with semaphore:
                got.append(i)
        async with trio.open_nursery() as nursery:
            for i in range(8):
                nursery.start_soon(enters, i)
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
            semaphore.release()
        if got != sorted(got):
            return "in changing order"
    return "in order"


@fact("58b")
async def overtaking():
    semaphore, got = trio.Semaphore(1), []
    async def enters(name):
        async with semaphore:
            got.append(name)
    await semaphore.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(enters, "is served first")
        await trio.sleep(0.01)
        semaphore.release()
        await enters("is overtaken")
    return got[0]


@fact("59")
async def released_too_often():
    semaphore = trio.Semaphore(1)
    try:
        semaphore.release()
    except ValueError:
        return "is an error"
    return "adds a permit" if semaphore.value == 2 else "is ignored"


@fact("60")
async def an_event_wakes():
    for _ in range(20):
        event, got = trio.Event(), []
        async def waits(i):
            await event.wait()
            got.append(i)
        async with trio.open_nursery() as nursery:
            for i in range(8):
                nursery.start_soon(waits, i)
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
            event.set()
        if got != sorted(got):
            return "in changing order"
    return "in order"


@fact("61")
async def a_full_queue():
    sends, receives = trio.open_memory_channel(2)
    for i in range(2):
        sends.send_nowait(i)
    try:
        sends.send_nowait(2)
    except trio.WouldBlock:
        return "is an error"
    return "takes it"


@fact("63")
async def fifty_blocking_jobs():
    lock, go, running = threading.Lock(), threading.Event(), [0, 0]
    def job():
        with lock:
            running[0] += 1
            running[1] = max(running)
        go.wait()
        with lock:
            running[0] -= 1
    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(trio.to_thread.run_sync, job)
        await trio.sleep(0.8)
        go.set()
    peak = running[1]
    return "cpus + 4" if peak == min(32, os.cpu_count() + 4) else f"{peak}"


@fact("64")
async def a_timeout_over_a_thread():
    ended = []
    def job():
        time.sleep(0.2)
        ended.append(1)
    with trio.move_on_after(0.01):
        await trio.to_thread.run_sync(job)
    return "waits for it" if ended else "leaves at once"


@fact("65")
def left_at_the_end():
    left, ended = [], []
    async def stays():
        try:
            await trio.sleep(0.15)
            ended.append(1)
        finally:
            left.append(1)
    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stays)
            await trio.sleep(0.01)
    trio.run(main)
    return "are waited for" if ended else "are cancelled" if left else "stay as they are"


@fact("66")
async def a_run_in_a_run():
    try:
        trio.run(partial(append, [], 1))
    except RuntimeError:
        return "is an error"
    return "is another loop"


async def until_sigint():
    try:
        print("ready", flush=True)
        await trio.sleep(9)
    finally:
        print("cleaned up", flush=True)


@fact("67")
def sigint():
    child = subprocess.Popen([sys.executable, __file__, "until-sigint"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    child.stdout.readline()
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    return "runs" if "cleaned up" in child.communicate()[0] else "does not run"


@fact("69")
async def a_signal_handler():
    got = []
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        async def handler():
            async for _ in signals:
                got.append("handler")
        def callback():
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.02)
            got.append("callback")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handler)
            await trio.sleep(0.01)
            call_soon(callback)
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
    return {"callback handler": "after it", "handler callback": "in its midst"}.get(" ".join(got), "never")


@fact("74")
async def readiness_that_stays():
    ours, theirs = socket.socketpair()
    theirs.send(b"x")
    calls = 0
    with trio.move_on_after(0.2):
        while calls < 2:
            await trio.lowlevel.wait_readable(ours)
            calls += 1
    return "again" if calls > 1 else "once"


@fact("76")
async def a_regular_file():
    with open(__file__) as file, trio.move_on_after(1):
        try:
            await trio.lowlevel.wait_readable(file)
        except OSError:
            return "is refused"
    return "is taken"


@fact("77")
async def written_bytes():
    ours, theirs = trio.socket.socketpair()
    theirs = socket.socket(fileno=theirs.detach())
    theirs.setblocking(False)
    await trio.SocketStream(ours).send_all(b"x")
    try:
        theirs.recv(1)
        return "at once"
    except BlockingIOError:
        return "later"


@fact("81")
async def half_closed():
    ours, theirs = trio.socket.socketpair()
    ours, theirs = trio.SocketStream(ours), trio.SocketStream(theirs)
    async def answers():
        while await ours.receive_some(10):
            pass
        await trio.sleep(0.03)
        await ours.send_all(b"answer")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answers)
        await theirs.send_all(b"question")
        await theirs.send_eof()
        return "arrives" if await theirs.receive_some(10) == b"answer" else "is lost"


def main():
    if "until-sigint" in sys.argv:
        trio.run(until_sigint)
        return
    for name, why in NO_MEANING.items():
        print(f"{name}\t-\t{why}")
    for name, function in FACTS.items():
        answer = trio.run(function) if inspect.iscoroutinefunction(function) else function()
        print(f"{name}\t{answer}", flush=True)


main()
