#!/usr/bin/env python3
"""Tests of tidy.py: each rule on a small sample that breaks it, and on one that does not."""

import os
import tempfile
import textwrap
import unittest

import tidy


def rules(files):
    """The findings in a repository that has these files, as (path, line, rule)."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return sorted({(f.path, f.line, f.rule) for f in tidy.Tidy(root).run()})


def swift(text, folder="Client", name="Sample"):
    """The (line, rule) of a Swift file in a folder of the library."""
    found = rules({f"Sources/Micro/{folder}/{name}.swift": textwrap.dedent(text)})
    return [(line, rule) for _, line, rule in found]


def c(text, folder="base"):
    found = rules({f"Sources/CMicroCore/{folder}/sample.c": textwrap.dedent(text)})
    return [(line, rule) for _, line, rule in found]


class Reading(unittest.TestCase):
    def test_c_comments_and_literals_are_no_code(self):
        text = 'a /* b { */ c; // d\nchar *e = "f \\" { g", h = \'{\';\n'
        uncommented, code = tidy.split_c(text)
        self.assertEqual(len(code), len(text))
        self.assertNotIn("b {", uncommented)
        self.assertIn("f \\\" { g", uncommented)
        for gone in "bdfg{":
            self.assertNotIn(gone, code)
        for kept in ("a ", "c;", "*e", ", h"):
            self.assertIn(kept, code)

    def test_swift_comments_and_literals_are_no_code(self):
        text = textwrap.dedent('''\
            one /* two /* three */ four */ five // six
            "seven \\" eight \\(nine("ten")) eleven" twelve
            #"thirteen " \\(fourteen) \\#(fifteen)"# sixteen
            """
              seventeen " eighteen
            """ nineteen
            ''')
        code = tidy.code_of_swift(text)
        self.assertEqual(len(code), len(text))
        self.assertEqual(code.count("\n"), text.count("\n"))
        self.assertEqual(code.replace('"', " ").replace("(", " ").replace(")", " ")
                         .replace("#", " ").split(),
                         ["one", "five", "nine", "twelve", "fifteen", "sixteen", "nineteen"])

    def test_a_literal_that_is_not_closed_does_not_hang(self):
        for text in ('"abc', '"""abc', '/* abc', '"\\(abc', "#\"abc\""):
            self.assertEqual(len(tidy.code_of_swift(text)), len(text))


class Text(unittest.TestCase):
    def test_good_file(self):
        self.assertEqual(swift("struct Good {\n    var one = 1\n}\n"), [])

    def test_last_line(self):
        self.assertEqual(swift("struct A {}"), [(1, "newline")])

    def test_tab_and_blank(self):
        self.assertEqual(swift("struct A {\n\tvar b = 1\n} \n"), [(2, "tab"), (3, "blank")])

    def test_makefile_may_have_tabs(self):
        self.assertEqual(rules({"Makefile": "a:\n\tb\n"}), [])

    def test_columns_are_characters(self):
        self.assertEqual(swift("// " + "é" * 97 + "\n"), [])
        self.assertEqual(swift("// " + "e" * 98 + "\n"), [(1, "columns")])

    def test_error_directives_and_addresses_may_be_long(self):
        self.assertEqual(c("/* https://" + "x" * 100 + " */\n#error \"" + "y" * 100 + "\"\n"), [])

    def test_marks(self):
        self.assertEqual(c("/* TO" "DO: later */\n"), [(1, "mark")])
        self.assertEqual(c('const char *mcore__name = "/tmp/XX' 'XXXX";\n'), [])

    def test_fixed_ports(self):
        for line, bad in [
            ('listen("127.0.0.1:8080")', True),
            ('listen("127.0.0.1:0")', False),
            ('parse("127.0.0.1:8080")', False),
            ('listen("127.0.0.1:8080") // tidy: not bound', False),
        ]:
            found = rules({"Tests/MicroTests/Sample.swift": line + "\n"})
            self.assertEqual([rule for _, _, rule in found], ["port"] if bad else [], line)
        line = 'connect("localhost:4711")\n'
        found = rules({"Tests/IntegrationTests/Sample.swift": line})
        self.assertEqual([rule for _, _, rule in found], ["port"])

    def test_built_files_are_not_read(self):
        self.assertEqual(rules({".build/x/a.swift": "\t", ".venv/a.py": "\t"}), [])


class Swift(unittest.TestCase):
    def test_only_core_has_the_door(self):
        for line in ("import CMicroCore", "internal import CMicroCore",
                     "@preconcurrency import CMicroCore"):
            self.assertEqual(swift(line + "\n"), [(1, "door")])
            self.assertEqual(swift(line + "\n", folder="Core"), [])
        self.assertEqual(rules({"Sources/MicroCLI/A.swift": "import CMicroCore\n"}),
                         [("Sources/MicroCLI/A.swift", 1, "door")])

    def test_unsafe(self):
        line = "func a(_ b: UnsafeRawPointer) { c.withUnsafeBytes { _ in } }\n"
        self.assertEqual(swift(line), [(1, "unsafe")])
        self.assertEqual(swift(line, folder="Codec"), [])

    def test_tasks_and_time(self):
        for line, rule in [
            ("let a = Task { b }", "task"),
            ("Task<Void, Never> { b }", "task"),
            ("Task(priority: .low) { b }", "task"),
            ("Task.detached { b }", "task"),
            ("try await Task.sleep(for: .seconds(1))", "clock"),
            ("let a = ContinuousClock()", "clock"),
            ("let a = Date()", "clock"),
            ("let a = Date.now", "clock"),
            ("DispatchQueue.global().async {}", "dispatch"),
        ]:
            self.assertEqual(swift(line + "\n"), [(1, rule)], line)
            self.assertEqual(swift(line + "\n", folder="Core"), [], line)
        for line in ("Task.isCancelled", "// Task { }", '"Task { Date() }"', "withTaskGroup { }",
                     "func a() -> Task<Void, Never> {}", "let dateOf = aDate()"):
            self.assertEqual(swift(line + "\n"), [], line)

    def test_what_is_interpolated_is_code(self):
        self.assertEqual(swift('let a = "now: \\(Date())"\n'), [(1, "clock")])

    def test_foundation(self):
        self.assertEqual(swift("import Foundation\n"), [(1, "foundation")])
        self.assertEqual(swift("import Foundation\n", folder="Core"), [(1, "foundation")])
        self.assertEqual(swift("import FoundationEssentials\n"), [(1, "foundation")])
        self.assertEqual(swift("import FoundationEssentials\n", folder="Codec"), [])
        either = ("#if canImport(FoundationEssentials)\n    internal import FoundationEssentials\n"
                  "#else\n    internal import Foundation\n#endif\n")
        self.assertEqual(swift(either, folder="Codec"), [])
        self.assertEqual(swift(either), [(2, "foundation")])

    def test_unchecked_needs_its_proof(self):
        line = "final class A: @unchecked Sendable {}"
        self.assertEqual(swift(line + "\n"), [(1, "unchecked")])
        self.assertEqual(swift(line + " // guarded by `lock`\n"), [])
        self.assertEqual(swift("nonisolated(unsafe) var a = 1\n"), [(1, "unchecked")])

    def test_manifest(self):
        self.assertEqual(rules({"Package.swift": "// unsafeFlags are not for us\n"}), [])
        self.assertEqual(rules({"bench/Package.swift": "a(.unsafeFlags([]))\n"}),
                         [("bench/Package.swift", 1, "manifest")])


class Layers(unittest.TestCase):
    def layers(self, **files):
        found = rules({f"Sources/Micro/{folder}/{folder}.swift": text
                       for folder, text in files.items()})
        return [(path.split("/")[2], line) for path, line, rule in found if rule == "layer"]

    def test_an_arrow_goes_only_down(self):
        self.assertEqual(self.layers(
            Client="public struct Client { var a: Metadata }\n",
            Metadata="struct Metadata {}\n\nextension Metadata { var c: Client? { nil } }\n"),
            [("Metadata", 3)])

    def test_names_in_comments_and_members_are_free(self):
        self.assertEqual(self.layers(
            Client="public struct Client {}\n",
            Errors="// Client\nenum E { case a(Kind.Client) }\n"), [])

    def test_nested_types_have_no_layer(self):
        self.assertEqual(self.layers(
            Client="struct Client { struct Options {} }\n",
            Errors="struct E { var a: Options }\n"), [])

    def test_own_and_private_types_hide_others(self):
        self.assertEqual(self.layers(
            Client="struct State {}\nprivate final class Hidden {}\n",
            Util="final class Alarm { private struct State {}\n let a: State; let b: Hidden }\n"),
            [])

    def test_an_implementation_stays_in_its_folder(self):
        files = dict(
            Broker="protocol Broker {}\nstruct MemoryBroker: Broker {}\n",
            Sync="struct A { var b: MemoryBroker }\n",
            Client="struct C { var b: MemoryBroker; var c: any Broker }\n",
            Service="struct S { var b = MemoryBroker() }\n")
        self.assertEqual(self.layers(**files), [("Client", 1), ("Sync", 1)])

    def test_a_new_folder_needs_a_layer(self):
        self.assertEqual(self.layers(Novel="struct Novel {}\n"), [("Novel", 1)])


class Includes(unittest.TestCase):
    def test_own_folder_public_headers_and_arrows(self):
        self.assertEqual(c('#include "ring.h"\n#include "base/ring.h"\n#include <string.h>\n'
                           '#include "mcore/slice.h"\n'), [])
        self.assertEqual(c('#include "loop/loop_internal.h"\n', folder="net"), [])
        self.assertEqual(c('#include "net/tcp.h"\n', folder="loop"), [(1, "include")])
        self.assertEqual(c('#include "loop/loop_internal.h"\n', folder="store"), [(1, "include")])

    def test_libraries(self):
        for header, folder in [("uv.h", "rpc"), ("nghttp2/nghttp2.h", "rpc"),
                               ("sqlite3.h", "base")]:
            self.assertEqual(c(f"#include <{header}>\n", folder=folder), [(1, "include")])
        for header, folder in [("uv.h", "net"), ("uv.h", "loop"), ("nghttp2/nghttp2.h", "http2"),
                               ("sqlite3.h", "store")]:
            self.assertEqual(c(f"#include <{header}>\n", folder=folder), [])

    def test_comments_include_nothing(self):
        self.assertEqual(c("/*\n#include <uv.h>\n*/\n"), [])

    def test_public_headers(self):
        self.assertEqual(rules({"include/mcore/a.h": '#include "mcore/b.h"\n'
                                                     '#include <stdint.h>\n'}), [])
        self.assertEqual(rules({"include/mcore/a.h": "#include <uv.h>\n"}),
                         [("include/mcore/a.h", 1, "include")])

    def test_a_new_folder_needs_a_row(self):
        self.assertEqual(c('#include "base/ring.h"\n', folder="novel"), [(1, "include")])


class Functions(unittest.TestCase):
    def names(self, function, text):
        text = textwrap.dedent(text)
        code = text if function is tidy.swift_functions else tidy.split_c(text)[1]
        return [(f.name, f.line, f.lines) for f in function(code)]

    def test_c(self):
        self.assertEqual(self.names(tidy.c_functions, """\
            #define M(x) do { (x); } while (0)
            extern "C" {
            struct a { int b; };
            static const int c[] = { 1, 2 };
            static int d(int e,
                         int f) {
                if (e) { return f; }
                return 0;
            }
            __attribute__((noreturn)) void g(void) { }
            TEST(ring_wraps) {
            }
            }
            """), [("d", 6, 4), ("g", 10, 1), ("TEST(ring_wraps)", 11, 2)])

    def test_swift(self):
        self.assertEqual(self.names(tidy.swift_functions, """\
            protocol P {
                func required(_ a: Int) async throws -> Int
                var property: Int { get }
            }
            struct S<T>: P where T: Sendable {
                var property: Int { 1 }
                init(_ a: Int = { 1 }()) {
                    self.init()
                }
                func required(
                    _ a: Int
                ) async throws -> Int
                where T: Hashable {
                    let b = { 2 }
                    return b()
                }
                subscript(_ a: Int) -> Int { a }
                deinit { }
            }
            """), [("property", 3, 1), ("property", 6, 1), ("init", 7, 3), ("required", 13, 4),
                   ("subscript", 17, 1), ("deinit", 18, 1)])

    LONG = "struct A {\n    func long() {\n" + "        step()\n" * 70 + "    }\n}\n"
    PATH = "Sources/Micro/Util/A.swift"

    def long(self, allowed=None):
        files = {self.PATH: self.LONG}
        if allowed is not None:
            files["Scripts/tidy-allow.txt"] = allowed
        return [(line, rule) for _, line, rule in rules(files)]

    def test_too_long(self):
        self.assertEqual(self.long(), [(2, "function")])
        self.assertEqual(rules({self.PATH: self.LONG.replace("step()\n", "\n", 2)
                                .replace("        \n", "")}), [])

    def test_the_list_allows_and_only_shrinks(self):
        self.assertEqual(self.long(f"# why\n{self.PATH} long 72  # a table\n"), [])
        self.assertEqual(self.long(f"{self.PATH} long 71\n"), [(2, "function")])
        self.assertEqual(self.long(f"{self.PATH} long 90\n"), [(1, "allow")])
        self.assertEqual(self.long(f"{self.PATH} long 72\n{self.PATH} gone 80\n"), [(2, "allow")])
        self.assertEqual(self.long(f"{self.PATH} long 72\nnonsense\n"), [(2, "allow")])


class Symbols(unittest.TestCase):
    def test_prefix(self):
        listing = ("a.o:0000000000000000 T mcore_loop_run\n"
                   "a.o:0000000000000010 T mcore__ring_push\n"
                   "a.o:0000000000000000 B ___asan_globals_registered\n"
                   "a.o:0000000000000000 R __odr_asan_gen_mcore_table\n"
                   "a.o:0000000000000000 B __odr_asan.mcore_table\n"
                   "b.o:0000000000000020 D helper\n")
        self.assertEqual([(f.path, f.text.split()[0]) for f in tidy.symbol_findings(listing)],
                         [("b.o", "helper")])


if __name__ == "__main__":
    unittest.main()
