"""Tests of what the suite reads: h2load, /proc, JSON of clients."""

import unittest

from suite import load, machine, message, process, scaling
from suite.process import Failed, Starved, Unsupported

H2LOAD = """starting benchmark...
Application protocol: h2c

finished in 510.87ms, 195745.66 req/s, 12.70MB/s
requests: 100 total, 100 started, 100 done, {succeeded} succeeded, {failed} failed, 0 errored, 0 \
timeout
status codes: {ok} 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 6.49MB (6800832) total, 293.31KB (300352) headers (space savings 96.20%), 3.53MB \
(3700) data
                     min         max         mean         sd        +/- sd
"""


class H2load(unittest.TestCase):
    def test_reads_the_summary(self):
        run = load.parse_h2load(H2LOAD.format(succeeded=100, failed=0, ok=100))
        self.assertEqual((run.requests, run.failures, run.rate, run.bytes),
                         (100, 0, 195745.66, 3700))

    def test_counts_failed_requests(self):
        run = load.parse_h2load(H2LOAD.format(succeeded=97, failed=3, ok=97))
        self.assertEqual(run.failures, 3)
        self.assertIn("3 of 100 requests failed", run.reason)

    def test_another_status_than_200_is_a_failure(self):
        self.assertEqual(
            load.parse_h2load(H2LOAD.format(succeeded=100, failed=0, ok=0)).failures, 100)

    def test_refuses_other_text(self):
        with self.assertRaises(Failed):
            load.parse_h2load("h2load: unrecognized option\n")


class Calls(unittest.TestCase):
    def test_reads_the_line(self):
        line = '{"requests": 5, "failures": 0, "seconds": 1, "p50_us": 2}'
        self.assertEqual(load.parse_call("x", 0, f"noise\n{line}\n", "")["p50_us"], 2)

    def test_says_why_calls_failed(self):
        with self.assertRaisesRegex(Failed, "2 of 7 failed: status 13"):
            load.parse_call("x", 1, '{"requests": 5, "failures": 2}\n', "first\nstatus 13\n")

    def test_an_unknown_option_is_no_failure(self):
        with self.assertRaisesRegex(Unsupported, "no --codec json"):
            load.parse_call("x", 2, "", "no --codec json\n")

    def test_nothing_answered_is_starved(self):
        with self.assertRaises(Starved):
            load.parse_call("x", 1, '{"requests": 0, "failures": 0}\n', "")

    def test_a_crash_and_broken_json(self):
        for out in ("", '{"requests": \n'):
            with self.assertRaises(Failed):
                load.parse_call("x", -11, out, "")

    def test_percentiles(self):
        found = load.percentiles(list(range(1001)))
        self.assertEqual([round(value) for value in found.values()], [500, 990, 999])
        with self.assertRaises(Failed):
            load.percentiles([1])


class Proc(unittest.TestCase):
    def test_ticks_of_a_process_with_an_odd_name(self):
        stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 500 0 0 0 70 30 9 9 20 0 1 0 100"
        self.assertEqual(process.parse_stat(stat), 100)

    def test_memory(self):
        self.assertEqual(process.parse_status("Name:\tx\nVmRSS:\t    2048 kB\n"), 2048 * 1024)
        with self.assertRaises(Failed):
            process.parse_status("Name:\tx\n")

    def test_busy_ticks(self):
        lines = ["cpu  10 1 4 80 5 0 0 0 0 0\n", "cpu0 10 1 4 80 5 0 0 0 0 0\n"]
        self.assertEqual(machine.parse_proc_stat(lines), (15, 100))

    def test_loops(self):
        self.assertEqual(scaling.parse_loops("ready 1\nloops 30 20\n"), [30, 20])
        with self.assertRaises(Failed):
            scaling.parse_loops("ready 1\nloops 30\n")


class Cores(unittest.TestCase):
    @staticmethod
    def of(cores):
        return machine.Machine(tuple(range(cores)), "", "", "", None)

    def test_server_and_load_have_cores_of_their_own(self):
        self.assertEqual(self.of(2).server_cpus(1), (0,))
        self.assertEqual(self.of(2).load_cpus(1), (1,))

    def test_the_load_shares_the_last_core_where_there_is_no_other(self):
        self.assertEqual(self.of(2).server_cpus(2), (0, 1))
        self.assertEqual(self.of(2).load_cpus(2), (1,))
        self.assertEqual(self.of(4).load_cpus(2), (2,))

    def test_on_one_core_nothing_is_pinned(self):
        self.assertIsNone(self.of(1).server_cpus(1))
        self.assertIsNone(self.of(1).load_cpus(1))


class Messages(unittest.TestCase):
    def test_have_the_size_that_is_asked_for(self):
        for size in (8, 32, 131, 4096):
            self.assertEqual(len(message.note(size)), size)
        self.assertEqual(message.note(32)[:5], b"\x08\xb9\x60\x12\x1b")
        self.assertEqual(len(message.json_note(32)), 32)

    def test_a_size_that_no_note_has(self):
        for make, size in ((message.note, 3), (message.json_note, 10)):
            with self.assertRaises(ValueError):
                make(size)

    def test_frame(self):
        self.assertEqual(message.framed(b"abc"), b"\0\0\0\0\x03abc")


if __name__ == "__main__":
    unittest.main()
