#!/usr/bin/env python3
"""Tests of readme.py: small READMEs that are right, and ones that are wrong."""

import contextlib
import io
import os
import tempfile
import textwrap
import time
import unittest

import readme


class Markdown(unittest.TestCase):
    def test_blocks(self):
        blocks = readme.blocks_of(textwrap.dedent("""\
            text `$ not a block`

            ```console background timeout=5
            $ one
            ```
              ~~~~sh
              two
              ~~~
              ~~~~
            ```
            plain
            ```
            """))
        self.assertEqual([tuple(block) for block in blocks], [
            (3, "console", ["background", "timeout=5"], ["$ one"]),
            (6, "sh", [], ["two", "~~~"]),
            (10, "", [], ["plain"]),
        ])

    def test_a_block_that_is_not_closed(self):
        with self.assertRaises(readme.Problem):
            readme.blocks_of("```sh\ntrue\n")

    def test_words(self):
        def words(info, language="console"):
            return readme.words_of(readme.Block(1, language, info.split(), []))

        self.assertEqual(words("background timeout=5"), {"background": True, "timeout": "5"})
        for info, language in [("skip", "console"), ("timeout", "console"), ("file=", "swift"),
                               ("background=1", "console"), ("background", "sh")]:
            with self.assertRaises(readme.Problem, msg=info):
                words(info, language)

    def test_commands(self):
        self.assertEqual(readme.commands_of(["$ one", "1", "", "1.5", "", "$ two \\", "> more",
                                             "2", "$ three"]),
                         [("one", ["1", "", "1.5"]), ("two \\\nmore", ["2"]), ("three", [])])
        for lines in ([], ["output"], ["", "output"]):
            with self.assertRaises(readme.Problem):
                readme.commands_of(lines)

    def test_apt_packages(self):
        for text, packages in [
            ("sudo apt-get install -y git make", ["git", "make"]),
            ("apt install git # for the checkout", ["git"]),
            ("apt-get install git && ./evil", None),
            ("apt-get update", None),
            ("echo apt-get install git", None),
        ]:
            self.assertEqual(readme.apt_packages(text), packages, text)


class Matching(unittest.TestCase):
    def check(self, expected, output, good, **more):
        self.assertEqual(readme.matches(expected.split("\n"), readme.clean(output), **more), good,
                         (expected, output))

    def test_lines(self):
        self.check("a\nb", "a\nb\n", True)
        self.check("a\nb", "a\n", False)
        self.check("a", "a\nb", False)
        self.check("a.c", "abc", False)

    def test_anything_in_a_line(self):
        self.check("port …, pid …", "port 4711, pid 12\n", True)
        self.check("port …", "part 4711", False)
        self.check("…b", "ab\nb", False)

    def test_any_lines(self):
        self.check("…\nb", "b", True)
        self.check("…\nb", "a\na\nb", True)
        self.check("…\nb", "a\nb\nc", False)
        self.check("a\n…\nb\n…", "a\nx\nb\ny\nb\nz", True)
        self.check("a\n…", "a", True)
        self.check("…", "", True)
        self.check("a\n…\n…\nb", "a\nb", True)

    def test_beginning(self):
        self.check("…\nready", "building\nready\nworking", True, more=True)
        self.check("…\nready", "building\n", False, more=True)
        self.check("a\nready", "b\nready\n", False, more=True)

    def test_what_a_terminal_shows(self):
        self.assertEqual(readme.clean("\x1b[1mbold\x1b[0m  \n10%\r100%\r\n\n\n"), ["bold", "100%"])

    def test_many_gaps_are_fast(self):
        begin = time.monotonic()
        self.check("\n".join(["…", "a"] * 20), "a\n" * 500 + "b", False)
        self.assertLess(time.monotonic() - begin, 5)


class Running(unittest.TestCase):
    """Whole READMEs, in a repository that has only what the test puts there."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = os.path.join(folder.name, "checkout")
        self.home = os.path.join(folder.name, "home")
        os.mkdir(self.root)
        os.mkdir(self.home)

    def read(self, text):
        """Whether the README passes, and what is printed about it."""
        path = os.path.join(self.root, "README.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            good = readme.Readme(path, readme.Reader(self.root, self.home)).check()
        return good, output.getvalue()

    def good(self, text):
        good, output = self.read(text)
        self.assertTrue(good, output)
        return output

    def bad(self, text, why):
        good, output = self.read(text)
        self.assertFalse(good, output)
        self.assertIn(why, output)
        return output

    def test_output_is_compared(self):
        block = """\
            ```console
            $ echo one; echo two >&2
            one
            {}
            $ true
            ```
            """
        self.good(block.format("t…o"))
        output = self.bad(block.format("three"), "printed something else")
        self.assertIn("| three", output)
        self.assertIn("| two", output)
        self.assertIn("FAIL README.md:1 console $ echo one", output)
        self.assertTrue(output.endswith("readme: 0 passed, 1 failed\n"), output)

    def test_status_is_compared(self):
        self.bad("```console\n$ false\n```\n", "status 1")
        self.bad("```sh\nfalse\ntrue\n```\n", "status 1")
        self.bad("```sh\nfalse | true\n```\n", "status 1")
        self.good("```console fails\n$ true\n$ echo no; false\nno\n```\n")
        self.good("```bash fails\nfalse\ntrue\n```\n")
        self.bad("```console fails\n$ true\n```\n", "status 0")

    def test_one_shell_from_block_to_block(self):
        self.good("""\
            ```sh
            export GREETING="hello
            there"
            cd .. && mkdir work && cd work
            ```
            ```console
            $ basename "$PWD" && cd ../micro && echo "$GREETING"
            work
            hello
            there
            $ test -e README.md
            ```
            """)

    def test_a_failure_does_not_end_the_run(self):
        output = self.bad("```sh\nfalse\n```\n```sh\ntrue\n```\n", "readme: 1 passed, 1 failed")
        self.assertIn("PASS README.md:4 sh true", output)

    def test_timeout(self):
        self.bad("```sh timeout=0.2\nsleep 60\n```\n", "did not end within 0.2 s")

    def test_background(self):
        pids = os.path.join(self.home, "pid")
        self.good(f"""\
            ```console background
            $ echo building; sleep 0.2; echo $$ > {pids}; echo "ready on 4711"; exec sleep 60
            …
            ready on …
            ```
            ```console
            $ kill -0 $(cat {pids}) && echo alive
            alive
            ```
            """)
        with open(pids) as file:
            pid = int(file.read())
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_background_that_is_not_well(self):
        self.bad("```console background timeout=0.3\n$ sleep 60\nready\n```\n",
                 "was not ready within 0.3 s")
        self.bad("```console background\n$ echo steady\nready\n```\n", "ended")
        self.bad("```console background\n$ sleep 60\n```\n", "ready")
        self.bad("```console background\n$ echo ready; sleep 0.3\nready\n```\n"
                 "```sh\nsleep 0.6\n```\n```sh\ntrue\n```\n", "has ended meanwhile")

    def test_background_that_does_not_stop(self):
        seconds, readme.STOP_SECONDS = readme.STOP_SECONDS, 0.5
        self.addCleanup(setattr, readme, "STOP_SECONDS", seconds)
        self.bad("```console background\n$ trap '' TERM; echo ready; while :; do sleep 0.1; done\n"
                 "ready\n```\n", "did not end within 0.5 s of SIGTERM")

    def test_nothing_is_left_running(self):
        self.bad("```sh\nsleep 60 &\n```\n", "left something running")

    def test_files(self):
        self.good("""\
            The file comes later on the page, and is there before the first command:
            ```console
            $ cd ../notes
            $ cat a/b.txt
            text
            ```
            ```text file=notes/a/b.txt
            text
            ```
            """)
        for path in ("../b.txt", "/b.txt", "b.txt", "micro/b.txt"):
            self.bad(f"```text file={path}\ntext\n```\n", "FAIL README.md:1 text")
        self.bad("```text file=a/b\n```\n```text file=a/b\n```\n", "twice")

    def test_excerpts(self):
        with open(os.path.join(self.root, "a.swift"), "w", encoding="utf-8") as file:
            file.write("one\ntwo\nthree\n")
        self.good("```swift from=a.swift\ntwo\nthree\n```\n")
        self.bad("```swift from=a.swift\ntwo\nfour\n```\n", "does not stand in a.swift")
        self.bad("```swift from=b.swift\ntwo\n```\n", "b.swift")

    def test_a_package_is_completed_and_built(self):
        tools = os.path.join(self.home, "tools")
        os.mkdir(tools)
        with open(os.path.join(tools, "swift"), "w") as file:  # stands for the real one
            file.write('#!/bin/sh\necho "$@ in $(basename "$PWD")"\ncat Package.swift\n'
                       "! grep -r broken Sources\n")
        os.chmod(os.path.join(tools, "swift"), 0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = tools + ":" + path
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        block = "```swift file=hello/Sources/hello/hello.swift\n{}\n```\n"
        output = self.good(block.format("fine"))
        self.assertIn("PASS README.md swift build in hello", output)
        with open(os.path.join(self.home, "hello/Package.swift")) as file:
            text = file.read()
        self.assertIn('.executableTarget(name: "hello"', text)
        self.assertIn('path: "../micro"', text)
        self.bad(block.format("broken"), "does not compile")
        output = self.good(block.format("fine")
                           + "```console\n$ cd ../hello\n$ swift run\nrun in hello\n…\n```\n")
        self.assertNotIn("swift build", output)

    def test_packages_of_the_system(self):
        installed, readme.is_installed = readme.is_installed, lambda name: name == "git"
        self.addCleanup(setattr, readme, "is_installed", installed)
        user, os.geteuid = os.geteuid, lambda: 1000
        self.addCleanup(setattr, os, "geteuid", user)
        for language, prompt in (("console", "$ "), ("sh", "")):
            block = "```%s\n%ssudo apt-get install {}\n```\n" % (language, prompt)
            self.good(block.format("git"))
            self.bad(block.format("git novel"), "not installed: novel")

    def test_other_blocks_are_counted(self):
        output = self.good("```json\n{}\n```\n```\nplain\n```\n```json\n{}\n```\n")
        self.assertIn("2 json blocks not run", output)
        self.assertIn("1 plain block not run", output)

    def test_unknown_words_are_refused(self):
        self.bad("```sh skip\nfalse\n```\n", "'skip' is not a word")

    def test_own_folders(self):
        output = self.good("```console\n$ echo $XDG_RUNTIME_DIR $XDG_STATE_HOME $TMPDIR\n"
                           "…/.run …/.state …/.tmp\n```\n")
        self.assertIn("readme: 1 passed, 0 failed", output)


if __name__ == "__main__":
    unittest.main()
