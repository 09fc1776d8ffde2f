"""Tests of what becomes of the samples: medians, ratios, rows, goals, the table, charts."""

import unittest
import xml.etree.ElementTree as xml

from suite import cases, chart, figures, goals, measure, plan, readme, report
from suite.machine import Machine
from suite.peers import PEERS
from suite.process import Failed, Starved, Unsupported
from suite.trials import Pace

HERE = Machine((0, 1), "Some CPU", "Some Linux", "6.1", None)
CASE = next(c for c in cases.all_cases() if c.name == "unary 32B 8x32 bytes direct")
CPU = "server_cpu_us_per_request"


def sample(cpu, rate=1000.0):
    return {CPU: cpu, "requests_per_second": rate}


def rows(samples, notes=None):
    outcome = measure.Outcome(CASE, samples, notes or {})
    return list(figures.rows_of(outcome, lambda name: (f"{name} 1.2.3", 2020), HERE))


def row(found, metric, peer):
    return next(r for r in found if (r["metric"], r["peer_name"]) == (metric, peer))


class Figures(unittest.TestCase):
    def test_median_least_and_most(self):
        figure = figures.Figure.of([3, 1, 8])
        self.assertEqual((figure.median, figure.least, figure.most), (3, 1, 8))

    def test_a_ratio_above_one_is_better_whatever_the_metric(self):
        self.assertEqual(figures.ratio(CPU, 2, 8), 4)
        self.assertEqual(figures.ratio("requests_per_second", 8, 2), 4)
        self.assertIsNone(figures.ratio(CPU, 0, 8))

    def test_rows(self):
        found = rows({"ours": [sample(2), sample(3), sample(2)], "grpc-go": [sample(10)],
                      "h2o": [sample(1)]})
        one = row(found, CPU, "grpc-go")
        self.assertEqual((one["ours"], one["ours_max"], one["peer"], one["ratio"]),
                         (2, 3, 10, 5))
        self.assertEqual((one["peer_version"], one["peer_year"], one["cores"]),
                         ("grpc-go 1.2.3", 2020, 1))
        self.assertTrue(one["work"] and one["peer_work"])
        self.assertIsNone(row(found, CPU, "h2o")["ratio"], "a ceiling is no rival")

    def test_who_is_left_out_has_a_row(self):
        found = rows({"ours": [sample(2)]}, {"grpc-go": "skipped: not built"})
        self.assertEqual(row(found, "skipped", "grpc-go")["note"], "skipped: not built")
        self.assertIsNone(row(found, CPU, None)["peer"])

    def test_peers_are_shown_without_ours(self):
        found = rows({"grpc-go": [sample(2)]}, {"ours": "skipped: not built"})
        self.assertIsNone(row(found, CPU, "grpc-go")["ratio"])
        self.assertTrue(list(report.table(found)))


class Trial:
    def __init__(self, *results):
        self.results = list(results)
        self.closed = False

    def sample(self):
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def close(self):
        self.closed = True


class Silent:
    def turn(self, *_):
        pass

    def left_out(self, *_):
        pass


class Measuring(unittest.TestCase):
    def measure(self, trials):
        def open_trial(_, participant):
            trial = trials.get(participant.name, Unsupported("no such option"))
            if isinstance(trial, Exception):
                raise trial
            return trial
        return measure.measure(CASE, open_trial, 2, Silent())

    def test_who_fails_is_left_out_with_the_reason(self):
        trials = {"ours": Trial({"a": 1}, {"a": 2}), "grpc-go": Trial({"a": 1}, Failed("broke"))}
        outcome = self.measure(trials)
        self.assertEqual(outcome.samples, {"ours": [{"a": 1}, {"a": 2}]})
        self.assertEqual(outcome.notes["grpc-go"], "failed: broke")
        self.assertEqual(outcome.notes["h2o"], "skipped: no such option")
        self.assertTrue(all(trial.closed for trial in trials.values()))

    def test_who_had_no_core_gets_another_attempt(self):
        outcome = self.measure({"ours": Trial(Starved("nothing"), {"a": 1}, {"a": 2})})
        self.assertEqual(len(outcome.samples["ours"]), 2)


class Goals(unittest.TestCase):
    def verdict(self, found, what):
        return next(v for v in goals.judge(found) if what in v.goal.what)

    def test_a_ratio(self):
        found = rows({"ours": [sample(2)], "grpc-go": [sample(10)], "grpc-cpp": [sample(10)]})
        words = {v.goal.peer: v.word for v in goals.judge(found)
                 if v.goal.what.startswith("bytes direct: CPU against grpc")}
        self.assertEqual(words, {"grpc-go": "met", "grpc-cpp": "NOT met",
                                 "grpc-swift-2": "not measured"})
        self.assertEqual(row(found, CPU, "grpc-go")["goal"], "ratio >= 5")
        self.assertIs(row(found, CPU, "grpc-cpp")["goal_met"], False)

    def test_how_much_more_than_the_peer(self):
        case = next(c for c in cases.all_cases() if c.name == "JSON decode small message Codable")
        metric = "allocations_per_operation"
        outcome = measure.Outcome(case, {"ours": [{metric: 4}], "value-alone": [{metric: 2}]}, {})
        found = list(figures.rows_of(outcome, lambda name: (name, 2026), HERE))
        verdict = self.verdict(found, "allocations beyond")
        self.assertEqual((verdict.value, verdict.word), (2, "NOT met"))

    def test_what_was_not_measured(self):
        self.assertEqual(self.verdict([], "suspension").word, "not measured")

    def test_a_suspension_is_scaled_by_the_machine(self):
        found = rows({"ours": [sample(2)], "c-floor": [sample(1.5)]})
        found.append({**row(found, CPU, "c-floor"), "case": "unary 32B 8x32 bytes suspend",
                      "peer_name": "ours-direct", "ours": 3.0, "peer": 2.0})
        self.assertAlmostEqual(self.verdict(found, "suspension").value, 2.0)

    def test_each_is_about_a_case_that_there_is(self):
        names = {case.name: case for case in cases.all_cases()}
        for goal in goals.GOALS:
            self.assertIn(goal.case, names)
            if goal.peer:
                self.assertIn(goal.peer, [p.name for p in names[goal.case].participants])


class Cases(unittest.TestCase):
    def test_each_has_ours_and_known_programs(self):
        for case in cases.all_cases():
            self.assertTrue(case.suite in cases.SUITES)
            for participant in case.participants:
                self.assertIn(participant.program, PEERS)

    def test_are_chosen_by_pattern_and_peers(self):
        chosen = cases.select(cases.all_cases(), True, "8x32 bytes direct", ["grpc-go"])
        self.assertEqual([[p.name for p in case.participants] for case in chosen],
                         [["ours", "c-core", "grpc-go"]])

    def test_plans_fit(self):
        quick, full = (True, Pace(0.3, 1, 0.5), 285), (False, Pace(0.5, 2, 0.5), 1440)
        for quick, pace, limit in (quick, full):
            chosen = cases.select(cases.all_cases(), quick)
            fitted = plan.fitted(chosen, pace, 3, limit)
            self.assertLess(plan.total(chosen, fitted, 3), limit)
            self.assertGreaterEqual(fitted.measured, plan.LEAST_MEASURED)


class Pictures(unittest.TestCase):
    def test_a_chart_is_xml_and_names_all(self):
        found = rows({"ours": [sample(2)], "grpc-go": [sample(9), sample(11)],
                      "h2o": [sample(1)]})
        members = [r for r in found if r["metric"] == CPU]
        text = chart.svg(chart.CHARTS[1], chart.bars_of(members), chart.caption(members, HERE))
        root = xml.fromstring(text)
        words = " ".join(e.text or "" for e in root.iter() if e.tag.endswith("}text"))
        for word in ("Micro", "gRPC Go", "h2o", "5.0×", "Some CPU", "grpc-go 1.2.3 (2020)"):
            self.assertIn(word, words)

    def test_the_readme_keeps_what_is_around_the_markers(self):
        text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
        self.assertEqual(readme.between_markers(text, "new"),
                         f"before\n{readme.BEGIN}\nnew\n{readme.END}\nafter\n")
        with self.assertRaises(Failed):
            readme.between_markers("nothing", "new")


class Peers(unittest.TestCase):
    def test_years(self):
        self.assertEqual(PEERS["grpc-go"].year("grpc-go 1.33.3 (go1.19.8)"), 2020)
        self.assertEqual(PEERS["h2o"].year("h2o version 2.2.5"), 2018)
        self.assertIsNone(PEERS["grpc-go"].year("grpc-go 1.3.0"))
        self.assertIsNone(PEERS["grpc-go"].year(None))


if __name__ == "__main__":
    unittest.main()
