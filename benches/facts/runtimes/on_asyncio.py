"""The facts on asyncio, or with the argument `uvloop` on uvloop: one function per fact.

Prints `ID<TAB>answer`, or `ID<TAB>-<TAB>why` where the question has no meaning here."""

import asyncio, gc, os, signal, socket, subprocess, sys, threading, time

ON_UVLOOP = "uvloop" in sys.argv
if ON_UVLOOP:
    import uvloop

FACTS = {}
# Of 50: slower than the luckiest, faster than what a busy machine holds up.
TENTH = 5
# Of how many of two children the clean-up was awaited.
AWAITED = ["is not awaited", "is awaited of the first", "is awaited"]


def fact(name):
    def keep(function):
        FACTS[name] = function
        return function
    return keep


def new_loop():
    loop = uvloop.new_event_loop() if ON_UVLOOP else asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    return loop


def run(main):
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


class Turns:
    """Counts turns of the loop, by a task that yields in each of them."""

    def __enter__(self):
        self.count = 0
        self.task = asyncio.create_task(self.spin())
        return self

    def __exit__(self, *_):
        self.task.cancel()

    async def spin(self):
        while True:
            self.count += 1
            await asyncio.sleep(0)


def turns(count):
    return "no turn" if count == 0 else "1 turn" if count == 1 else f"{count} turns"


def rounds(orders):
    """How three tasks that step three times took turns, in several trials."""
    if any(sorted(order[i:i + 3]) != list("abc") for order in orders for i in (0, 3, 6)):
        return "do not take turns"
    if len(orders) > 1:
        return "take turns at random"
    return "take turns in order" if orders == {"abcabcabc"} else "take turns in changing order"


async def gives_way(step):
    """Whether another task runs while `step` is awaited."""
    ran = []
    other = asyncio.create_task(append(ran, 1))
    await step
    answer = "gives way" if ran else "goes on"
    await other
    return answer


async def append(to, item):
    to.append(item)


def ordered(got):
    return "in order" if got == sorted(got) else "not in order"


@fact("01")
async def callbacks_in_order():
    loop, got = asyncio.get_running_loop(), []
    for i in range(10):
        loop.call_soon(got.append, i)
    await asyncio.sleep(0.01)
    return ordered(got)


@fact("02")
async def what_a_callback_queues():
    loop, got = asyncio.get_running_loop(), []
    loop.call_soon(lambda: (got.append("a"), loop.call_soon(got.append, "c")))
    loop.call_soon(got.append, "b")
    await asyncio.sleep(0.01)
    return {"abc": "after what was queued", "acb": "before what was queued"}["".join(got)]


@fact("03")
async def yielding_for_ever():
    fired = []
    asyncio.get_running_loop().call_later(0.02, fired.append, 1)
    due, turns_left = time.monotonic() + 0.02, 10_000
    while not fired and turns_left:
        await asyncio.sleep(0)
        turns_left -= time.monotonic() > due
    return "fires" if fired else "starves"


@fact("04")
async def order_in_a_turn():
    loop, got = asyncio.get_running_loop(), []
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    loop.add_reader(ours, lambda: (got.append("socket"), loop.remove_reader(ours)))
    await asyncio.sleep(0.01)
    loop.call_later(0.005, got.append, "timer")
    theirs.send(b"x")
    time.sleep(0.02)
    loop.call_soon(got.append, "callback")
    await asyncio.sleep(0.03)
    return ", ".join(got)


@fact("05")
async def a_timer_of_zero():
    loop, got = asyncio.get_running_loop(), []
    loop.call_later(0, got.append, "timer first")
    loop.call_soon(got.append, "callback first")
    time.sleep(0.005)
    await asyncio.sleep(0.02)
    return got[0]


@fact("06")
async def timers_by_deadline():
    loop, got = asyncio.get_running_loop(), []
    for delay in (300, 100, 200):
        loop.call_later(delay / 1000, got.append, delay)
    await asyncio.sleep(0.4)
    return "by deadline" if got == [100, 200, 300] else "not by deadline"


@fact("07")
async def timers_of_one_deadline():
    loop, orders = asyncio.get_running_loop(), set()
    for trial in range(20):
        # Set shortly before a millisecond of the clock ends, in ever closer trials: uvloop rounds to it.
        while time.monotonic_ns() % 1_000_000 < 900_000 + 5_000 * trial:
            pass
        got, deadline = [], loop.time() + 0.01
        for i in range(10):
            loop.call_at(deadline, got.append, i)
        await asyncio.sleep(0.03)
        orders.add(tuple(got))
    if orders == {tuple(range(10))}:
        return "in order"
    return "in another order" if len(orders) == 1 else "in changing order"


@fact("08")
async def due_timers_together():
    loop, got = asyncio.get_running_loop(), []
    await asyncio.sleep(0)
    for delay in (1, 2, 3):
        loop.call_later(delay / 1000, lambda: (got.append("t"), loop.call_soon(got.append, "o")))
    time.sleep(0.01)
    await asyncio.sleep(0.02)
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
        await asyncio.sleep(seconds)
        lasted.append(time.monotonic() - began)
    return sorted(lasted)


@fact("11")
async def a_cancelled_callback():
    ran = []
    asyncio.get_running_loop().call_soon(ran.append, 1).cancel()
    await asyncio.sleep(0.01)
    return "runs" if ran else "does not run"


@fact("12")
async def a_callback_that_fails():
    loop, ran = asyncio.get_running_loop(), []
    loop.call_soon(lambda: 1 / 0)
    loop.call_soon(ran.append, 1)
    await asyncio.sleep(0.01)
    return "goes on" if ran else "ends"


@fact("16")
async def woken_by_a_thread():
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    began = time.monotonic()
    threading.Timer(0.05, lambda: loop.call_soon_threadsafe(woken.set)).start()
    try:
        await asyncio.wait_for(woken.wait(), 5)
    except asyncio.TimeoutError:
        pass
    return "at once" if time.monotonic() - began < 2.5 else "at the next timer"


@fact("17")
async def blocking_code():
    loop, began, fired = asyncio.get_running_loop(), time.monotonic(), []
    loop.call_later(0.01, lambda: fired.append(time.monotonic() - began))
    time.sleep(0.1)
    await asyncio.sleep(0.02)
    return "waits" if fired[0] >= 0.1 else "fires"


@fact("18")
async def a_new_task_begins():
    ran = []
    task = asyncio.create_task(append(ran, 1))
    answer = "at once" if ran else "later"
    await task
    return answer


@fact("18b")
async def new_tasks_in_order():
    for _ in range(10):
        got = []
        await asyncio.gather(*(asyncio.create_task(append(got, i)) for i in range(10)))
        if got != sorted(got):
            return "not in order"
    return "in order"


@fact("19")
async def awaiting_a_coroutine():
    return await gives_way(append([], 1))


@fact("19b")
async def awaiting_a_task_that_ended():
    task = asyncio.create_task(append([], 1))
    await asyncio.sleep(0.01)
    return await gives_way(task)


@fact("20")
async def sleeping_for_zero():
    with Turns() as spinner:
        await asyncio.sleep(0.001)
        count = spinner.count
        await asyncio.sleep(0)
        count = spinner.count - count
    return turns(count) if count < 2 else "until a timer"


@fact("22")
async def tasks_that_yield():
    orders = set()
    for _ in range(10):
        got = []
        async def step(name):
            for _ in range(3):
                got.append(name)
                await asyncio.sleep(0)
        await asyncio.gather(*map(step, "abc"))
        orders.add("".join(got))
    return rounds(orders)


@fact("23")
async def setting_a_promise():
    promise, got = asyncio.get_running_loop().create_future(), []
    async def waits():
        got.append(await promise)
    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    promise.set_result(1)
    answer = "at once" if got else "later"
    await task
    return answer


@fact("25")
async def awaiting_a_promise_that_is_set():
    promise = asyncio.get_running_loop().create_future()
    promise.set_result(1)
    return await gives_way(promise)


@fact("25b")
async def awaiting_what_is_ready():
    semaphore, ran = asyncio.Semaphore(1), []
    other = asyncio.create_task(append(ran, 1))
    for _ in range(100_000):
        async with semaphore:
            pass
        if ran:
            break
    answer = "run meanwhile" if ran else "starve"
    await other
    return answer


@fact("26")
async def setting_twice():
    promise = asyncio.get_running_loop().create_future()
    promise.set_result(1)
    try:
        promise.set_result(2)
    except asyncio.InvalidStateError:
        return "is an error"
    return "is ignored" if promise.result() == 1 else "overwrites"


@fact("27")
async def through_five_tasks():
    with Turns() as spinner:
        async def leaf():
            await asyncio.sleep(0)
            return spinner.count
        async def via(depth):
            return await (asyncio.create_task(via(depth - 1)) if depth else leaf())
        at_leaf = await via(5)
        return turns(spinner.count - at_leaf)


@fact("28")
async def nobody_holds_it():
    ended, loop = [], asyncio.get_running_loop()
    async def waits():
        promise = loop.create_future()
        try:
            await promise
        finally:
            ended.append(1)
    asyncio.create_task(waits())
    await asyncio.sleep(0.01)
    gc.collect()
    return "is collected" if ended else "goes on"


@fact("29")
async def never_awaited():
    ran = []
    coroutine = append(ran, 1)
    await asyncio.sleep(0.01)
    coroutine.close()
    return "begins" if ran else "never begins"


@fact("30")
def a_lost_failure():
    went_on = []
    async def main():
        task = asyncio.create_task(fails(0))
        await asyncio.sleep(0.01)
        del task
        gc.collect()
        went_on.append(1)
    try:
        run(main())
    except BaseException:
        pass
    return "goes on" if went_on else "ends"


async def value(delay, item, ended=None):
    await asyncio.sleep(delay)
    if ended is not None:
        ended.append(item)
    return item


async def fails(delay):
    await asyncio.sleep(delay)
    raise ValueError


@fact("35")
async def results_in_order():
    got = await asyncio.gather(value(0.03, "a"), value(0.01, "b"), value(0.02, "c"))
    return "of the arguments" if got == ["a", "b", "c"] else "of ending"


@fact("36")
async def gather_makes_tasks():
    ran = []
    gathered = asyncio.gather(append(ran, 1))
    await asyncio.sleep(0.01)
    answer = "begin" if ran else "do not begin"
    await gathered
    return answer


@fact("37")
async def the_way_back_from_gather():
    with Turns() as spinner:
        async def child():
            await asyncio.sleep(0)
            return spinner.count
        ended = await asyncio.gather(child(), child())
        return turns(spinner.count - ended[1])


@fact("38")
async def gather_of_nothing():
    return await gives_way(asyncio.gather())


@fact("40")
async def the_first_failure():
    ended = []
    try:
        await asyncio.gather(fails(0.01), value(0.1, "ok", ended))
    except ValueError:
        pass
    await asyncio.sleep(0.15)
    return "run on" if ended else "are cancelled"


@fact("41")
async def failures_as_values():
    got = await asyncio.gather(value(0.01, 1), fails(0), value(0, 2), return_exceptions=True)
    return "in place" if got[::2] == [1, 2] and isinstance(got[1], ValueError) else "elsewhere"


async def slow_to_leave(cleaned, seconds=0.03):
    try:
        await asyncio.sleep(9)
    finally:
        await asyncio.sleep(seconds)
        cleaned.append(1)


@fact("43")
async def a_cancelled_gather():
    cleaned = []
    async def gathers():
        await asyncio.gather(slow_to_leave(cleaned), slow_to_leave(cleaned, 0.5))
    task = asyncio.create_task(gathers())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    return AWAITED[len(cleaned)]


async def leaves(words, to):
    try:
        await asyncio.sleep(9)
    finally:
        to.append(words)


@fact("44")
async def cancel_takes_effect():
    left = []
    task = asyncio.create_task(leaves(1, left))
    await asyncio.sleep(0.01)
    task.cancel()
    answer = "at the call" if left else "later"
    await asyncio.wait([task])
    return answer if left else "never"


@fact("45")
async def cancelled_before_it_began():
    ran = []
    task = asyncio.create_task(append(ran, 1))
    task.cancel()
    await asyncio.wait([task])
    return "begins" if ran else "never begins"


@fact("46")
async def handling_every_error():
    async def handles():
        try:
            await asyncio.sleep(9)
        except Exception:
            return "swallows it"
    task = asyncio.create_task(handles())
    await asyncio.sleep(0.01)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "does not see it"


@fact("47")
async def refusing():
    async def refuses():
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return "yes"
    task = asyncio.create_task(refuses())
    await asyncio.sleep(0.01)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return "no"


@fact("47b")
async def awaiting_after_refusing():
    async def refuses():
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            pass
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            return "is cancelled too"
        return "goes on"
    task = asyncio.create_task(refuses())
    await asyncio.sleep(0.01)
    task.cancel()
    return await task


@fact("48")
async def inner_and_outer():
    ended = []
    async def outer():
        try:
            await asyncio.create_task(leaves("inner first", ended))
        finally:
            ended.append("outer first")
    task = asyncio.create_task(outer())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0.01)
    return ended[0] if len(ended) == 2 else "inner runs on"


@fact("49")
async def at_the_deadline():
    cleaned = []
    try:
        await asyncio.wait_for(slow_to_leave(cleaned), 0.01)
    except asyncio.TimeoutError:
        pass
    return "is awaited" if cleaned else "is not awaited"


@fact("50")
async def a_timeout_of_zero():
    ran = []
    try:
        await asyncio.wait_for(append(ran, 1), 0)
    except asyncio.TimeoutError:
        pass
    return "begins" if ran else "never begins"


@fact("50b")
async def what_is_ready_at_zero():
    promise = asyncio.get_running_loop().create_future()
    promise.set_result("is returned")
    try:
        return await asyncio.wait_for(promise, 0)
    except asyncio.TimeoutError:
        return "times out"


@fact("51")
async def swallowing_a_timeout():
    async def swallows():
        try:
            await asyncio.sleep(9)
        except asyncio.CancelledError:
            return "its value"
    try:
        return await asyncio.wait_for(swallows(), 0.01)
    except asyncio.TimeoutError:
        return "the timeout"


@fact("53")
async def a_shield():
    ended = []
    inner = asyncio.create_task(value(0.1, 1, ended))
    async def waits():
        await asyncio.shield(inner)
    task = asyncio.create_task(waits())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    answer = "waits for it" if ended else "leaves at once"
    await inner
    return answer


@fact("54")
async def a_failure_in_a_group():
    ended = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails(0.01))
            group.create_task(value(0.1, 1, ended))
    except* ValueError:
        pass
    await asyncio.sleep(0.15)
    return "run on" if ended else "are cancelled"


@fact("56")
async def the_first_of_two():
    ended = []
    tasks = [asyncio.create_task(value(delay, delay, ended)) for delay in (0.01, 0.1)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(0.15)
    return "runs on" if len(ended) == 2 else "is cancelled"


@fact("58")
async def a_semaphore_serves():
    for _ in range(10):
        semaphore, got = asyncio.Semaphore(0), []
        async def enters(i):
            async with semaphore:
                got.append(i)
        tasks = []
        for i in range(8):
            tasks.append(asyncio.create_task(enters(i)))
            await asyncio.sleep(0)
        semaphore.release()
        await asyncio.gather(*tasks)
        if got != sorted(got):
            return "not in order"
    return "in order"


@fact("58b")
async def overtaking():
    semaphore, got = asyncio.Semaphore(1), []
    async def enters(name):
        async with semaphore:
            got.append(name)
    await semaphore.acquire()
    waiter = asyncio.create_task(enters("is served first"))
    await asyncio.sleep(0.01)
    semaphore.release()
    await enters("is overtaken")
    await waiter
    return got[0]


@fact("59")
async def released_too_often():
    semaphore = asyncio.Semaphore(1)
    try:
        semaphore.release()
    except ValueError:
        return "is an error"
    await semaphore.acquire()
    return "is ignored" if semaphore.locked() else "adds a permit"


@fact("60")
async def an_event_wakes():
    for _ in range(10):
        event, got = asyncio.Event(), []
        async def waits(i):
            await event.wait()
            got.append(i)
        tasks = []
        for i in range(8):
            tasks.append(asyncio.create_task(waits(i)))
            await asyncio.sleep(0)
        event.set()
        await asyncio.gather(*tasks)
        if got != sorted(got):
            return "not in order"
    return "in order"


@fact("61")
async def a_full_queue():
    queue = asyncio.Queue(2)
    for i in range(2):
        queue.put_nowait(i)
    try:
        queue.put_nowait(2)
    except asyncio.QueueFull:
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
    loop = asyncio.get_running_loop()
    jobs = [loop.run_in_executor(None, job) for _ in range(50)]
    await asyncio.sleep(0.8)
    go.set()
    await asyncio.gather(*jobs)
    peak = running[1]
    return "cpus + 4" if peak == min(32, os.cpu_count() + 4) else f"{peak}"


@fact("64")
async def a_timeout_over_a_thread():
    ended = []
    def job():
        time.sleep(0.2)
        ended.append(1)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, job), 0.01)
    except asyncio.TimeoutError:
        pass
    return "waits for it" if ended else "leaves at once"


@fact("65")
def left_at_the_end():
    left, ended = [], []
    async def sleeps():
        try:
            await asyncio.sleep(0.15)
            ended.append(1)
        finally:
            left.append(1)
    tasks = []
    async def main():
        tasks.append(asyncio.create_task(sleeps()))
        await asyncio.sleep(0.01)
    run(main())
    return "are waited for" if ended else "are cancelled" if left else "stay as they are"


@fact("66")
async def a_run_in_a_run():
    coroutine = asyncio.sleep(0)
    try:
        asyncio.run(coroutine)
    except RuntimeError:
        coroutine.close()
        return "is an error"
    return "is another loop"


async def until_sigint():
    try:
        print("ready", flush=True)
        await asyncio.sleep(9)
    finally:
        print("cleaned up", flush=True)


@fact("67")
def sigint():
    child = subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "until-sigint"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    child.stdout.readline()
    time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    return "runs" if "cleaned up" in child.communicate()[0] else "does not run"


@fact("69")
async def a_signal_handler():
    loop, got = asyncio.get_running_loop(), []
    loop.add_signal_handler(signal.SIGUSR1, got.append, "handler")
    def callback():
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.02)
        got.append("callback")
    loop.call_soon(callback)
    await asyncio.sleep(0.5)
    loop.remove_signal_handler(signal.SIGUSR1)
    return {"callback handler": "after it", "handler callback": "in its midst"}.get(" ".join(got), "never")


@fact("74")
async def readiness_that_stays():
    loop, calls = asyncio.get_running_loop(), []
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.send(b"x")
    loop.add_reader(ours, calls.append, 1)
    await asyncio.sleep(0.2)
    loop.remove_reader(ours)
    return "again" if len(calls) > 1 else "once"


@fact("76")
async def a_regular_file():
    with open(__file__) as file:
        try:
            asyncio.get_running_loop().add_reader(file, print)
        except OSError:
            return "is refused"
        asyncio.get_running_loop().remove_reader(file)
        return "is taken"


@fact("77")
async def written_bytes():
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    transport.write(b"x")
    try:
        theirs.recv(1)
        answer = "at once"
    except BlockingIOError:
        answer = "later"
    transport.abort()
    return answer


@fact("81")
async def half_closed():
    class Answers(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
        def data_received(self, data):
            asyncio.get_running_loop().call_later(0.03, lambda: self.transport.write(b"answer"))
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    await asyncio.get_running_loop().create_connection(Answers, sock=ours)
    theirs.send(b"question")
    theirs.shutdown(socket.SHUT_WR)
    await asyncio.sleep(0.1)
    try:
        return "arrives" if theirs.recv(10) == b"answer" else "is lost"
    except OSError:
        return "is lost"


def main():
    if "until-sigint" in sys.argv:
        run(until_sigint())
        return
    for name, function in FACTS.items():
        answer = run(function()) if asyncio.iscoroutinefunction(function) else function()
        print(f"{name}\t{answer}", flush=True)


main()
