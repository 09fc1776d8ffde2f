#!/usr/bin/env python3
"""Checks what compilers do not: the layers, banned calls, sizes, and text hygiene.

    Scripts/tidy.py                     checks this repository
    Scripts/tidy.py --root FOLDER       checks another one
    Scripts/tidy.py --symbols FOLDER    checks the global symbols of the objects of the C core

Every finding is one line, "path:line: [rule] what is wrong", and any finding is a failure.
The tables below are the rules; a change of the architecture is a change of a table.
Functions that may be longer than FUNCTION_LINES_MAX stand in Scripts/tidy-allow.txt, one per line
("path function lines"). That list only shrinks: an entry that is larger than it must be, or not
needed any more, is a finding.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import namedtuple

Finding = namedtuple("Finding", "path line rule text")

LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
ALLOW_FILE = "Scripts/tidy-allow.txt"


def is_in_text(line, column):
    """Whether the line is at that column inside of a string that it also ends: formatters, too,
    leave a text whole."""
    return line[:column].count('"') % 2 == 1 and '"' in line[column - 1:]


# ---- The Swift library ---------------------------------------------------------------------------

# An arrow goes only down: a folder may not name a type of a later row.
LAYERS = [
    "Errors Metadata".split(),  # plain values
    ["Core"],
    "Options Logger Meter Tracer Profiler Util Context".split(),
    "Codec Config Database FSM Auth Health MTLS Network Reflection Resolver Register Router"
    " Selector Store Sync Broker Stream Transport".split(),
    "Client Server Proxy Flow Resilience".split(),
    ["Service"],
]

# Two things of one layer meet through a protocol: an implementation (of a broker, a store), known
# by how its name begins, is named only in its own folder and in the last layer, which picks
# defaults.
IMPLEMENTATION = re.compile(r"(Memory|Noop|SQLite|Local)[A-Z]")
LAYER_OF_IMPLEMENTATIONS = 3

# (folder, type) pairs that the two rules above let pass. Each needs a reason.
MAY_NAME = set()

# What a pattern stands for, and the folders of Sources/Micro that may have it all the same.
BANNED_SWIFT = [
    ("door", r"^\s*(?:@\w+\s+|public\s+|package\s+|internal\s+)*import\s+CMicroCore\b",
     {"Core", "Codec"}, "only Core and Codec import CMicroCore"),
    ("unsafe", r"\b(?:with)?Unsafe\w*", {"Core", "Codec"},
     "unsafe memory stays in Core and Codec"),
    ("task", r"(?<!: )(?<!-> )\bTask(?:\s*<[^>]*>)?\s*"
             r"(?:\.\s*(?:detached|immediate)\b|\(|\{)", {"Core"},
     "tasks are started by Core, so that a simulation owns them"),
    ("clock", r"\bTask\s*\.\s*sleep\b|\b(?:ContinuousClock|SuspendingClock)\b|\bDate\s*\(\s*\)|"
              r"\bDate\s*\.\s*now\b", {"Core"},
     "time comes from the injected clock"),
    ("dispatch", r"\bDispatch(?:Queue|Semaphore|Group|WorkItem|SourceTimer)\b|"
                 r"\bimport\s+Dispatch\b", {"Core"},
     "work is placed by Core's executors"),
    ("foundation", r"\bimport\s+Foundation(?:Networking|XML)?\s*$", set(),
     "the library does without full Foundation"),
    ("foundation", r"\bimport\s+FoundationEssentials\b", {"Core", "Codec"},
     "FoundationEssentials is for Codec"),
]

# ---- The C core ----------------------------------------------------------------------------------

# Folder of Sources/CMicroCore -> the folders whose headers it may include beside its own.
C_LAYERS = {
    "base": [],
    "codec": ["base", "hash"],
    "dns": ["base", "frame", "hash", "loop"],
    "hash": ["base"],
    "limit": ["base"],
    "frame": ["base"],
    "http": ["base", "frame", "loop"],
    "http2": ["base", "frame"],
    "loop": ["base"],
    "mdns": ["base", "frame", "hash", "loop"],
    "message": ["base", "frame", "loop"],
    "net": ["base", "loop", "tls"],
    "plugin": ["base", "loop", "net", "tls"],
    "rpc": ["base", "hash", "frame", "http2", "limit", "loop", "net"],
    "store": ["base", "hash"],
    "tls": ["base"],
}

# Header of a library -> the folders that may see it.
C_LIBRARIES = [
    (r"uv\.h|uv/.*", {"loop", "net"}),
    (r"nghttp2/.*", {"http2"}),
    (r"openssl/.*", {"tls"}),
    (r"sqlite3(ext)?\.h", {"store"}),
    (r"zlib\.h", {"frame"}),
]

# Public headers need nothing of the system but these.
C_PUBLIC_INCLUDES = {"stddef.h", "stdint.h"}

# Folder -> how its global symbols begin.
C_SYMBOL_PREFIXES = {"Sources/CMicroCore": "mcore_", "Sources/TransportKit": "transport_kit_",
                     "Sources/ZstdCoding": "zstd_coding"}

# ---- Reading -------------------------------------------------------------------------------------

CODE = (".c", ".h", ".swift")
TEXT = CODE + (".py", ".sh", ".md", ".json", ".yml", ".yaml", ".txt", ".modulemap")
SKIPPED_FOLDERS = {".build", ".git", ".venv", "__pycache__", "results"}
# What `make generate` writes.
GENERATED = (".pb.swift", ".micro.swift")


def files_of(root):
    """The text files of a repository, as paths relative to it."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if name not in SKIPPED_FOLDERS)
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), root)
            if name.endswith(GENERATED):
                continue
            if name.endswith(TEXT) or path in ("Makefile", ".ci/run"):
                yield path


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def blank(text):
    return re.sub(r"[^\n]", " ", text)


C_TOKEN = re.compile(
    r"(?P<comment>/\*.*?(?:\*/|\Z)|//(?:\\\n|[^\n])*)"
    r"|(?P<text>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')", re.S)


def split_c(text):
    """Two copies of `text` with every character at its place: without comments, and also without
    the contents of literals."""
    uncommented = C_TOKEN.sub(lambda m: m[0] if m["text"] else blank(m[0]), text)
    code = C_TOKEN.sub(lambda m: m[0][0] + blank(m[0][1:-1]) + m[0][-1], uncommented)
    return uncommented, code


SWIFT_TOKEN = re.compile(r'//[^\n]*|/\*|\*/|#*"""|#*"|[()]')


def code_of_swift(text):
    """`text` with comments and the contents of literals blanked. What is interpolated is code."""
    out = []
    end = _swift_code(text, 0, out, inside_interpolation=False)
    out.append(text[end:])
    return "".join(out)


def _swift_code(text, at, out, inside_interpolation):
    depth = 0
    while match := SWIFT_TOKEN.search(text, at):
        token = match[0]
        out.append(text[at:match.start()])
        at = match.end()
        if token.startswith("//"):
            out.append(blank(token))
        elif token == "/*":
            at = _end_of_comment(text, at)
            out.append(blank(text[match.start():at]))
        elif token.endswith('"'):
            out.append(token)
            at = _swift_literal(text, at, token, out)
        else:
            out.append(token)
            depth += {"(": 1, ")": -1}.get(token, 0)
            if inside_interpolation and depth < 0:
                return at
    out.append(text[at:])
    return len(text)


def _end_of_comment(text, at):
    depth = 1
    while depth and (match := re.compile(r"/\*|\*/").search(text, at)):
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return at if depth == 0 else len(text)


def _swift_literal(text, at, opening, out):
    hashes = "#" * opening.count("#")
    closing = opening.lstrip("#") + hashes
    escape = "\\" + hashes
    pattern = re.compile("|".join(re.escape(t) for t in (escape + "(", escape, closing, "\n")))
    while match := pattern.search(text, at):
        out.append(blank(text[at:match.start()]))
        at = match.end()
        if match[0] == closing:
            out.append(closing)
            return at
        if match[0] == "\n":
            out.append("\n")
            if '"""' not in opening:
                return at
        elif match[0] == escape:
            out.append(blank(text[match.start():at + 1]))
            at += 1
        else:
            out.append(blank(match[0]))
            at = _swift_code(text, at, out, inside_interpolation=True)
    out.append(blank(text[at:]))
    return len(text)


# ---- Functions -----------------------------------------------------------------------------------

Function = namedtuple("Function", "name line lines")


def c_functions(code):
    """The functions that are defined at the top of a C file. `lines` counts from the line of the
    opening brace to that of the closing one."""
    # Directives have braces of their own; so has `extern "C" {`.
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: blank(m[0]), code, flags=re.M)
    code = re.sub(r'extern\s+"\s*"\s*\{', lambda m: blank(m[0]), code)
    depth, begin, head, name = 0, 0, 0, None
    for match in re.finditer(r"[{};]", code):
        at = match.start()
        if match[0] == "{":
            if depth == 0:
                name, begin = _c_name(code[head:at]), at
            depth += 1
        elif match[0] == "}":
            if depth == 1 and name:
                yield _function(code, name, begin, at)
            depth = max(depth - 1, 0)
            if depth == 0:
                name, head = None, at + 1
        elif depth == 0:
            head = at + 1


def _c_name(head):
    """The name of the function whose head this is; None for a struct, an enum or a variable."""
    match = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head, flags=re.S))
    if not match or re.search(r"=\s*$", head):
        return None
    if match[1].isupper():  # TEST(ring_wraps)
        return match[1] + "(" + head[head.index("(") + 1:head.rindex(")")].strip() + ")"
    return match[1]


def _function(code, name, begin, end):
    first = line_of(code, begin)
    return Function(name, first, line_of(code, end) - first + 1)


SWIFT_FUNCTION = re.compile(
    r"(?<![.\w`])"
    r"(?:func\s+(?P<func>[^\s(<]+)|(?P<init>init)\b[?!]?\s*[(<]|(?P<deinit>deinit)\b|"
    r"(?P<subscript>subscript)\s*[(<]|(?:var|let)\s+(?P<var>\w+)\s*:[^=\n{]*(?={))")
SWIFT_NEXT = re.compile(
    r"[(\[]|[)\]]|[{}]|\n\s*(?:@|(?:public|package|internal|fileprivate|private|static|mutating|"
    r"nonisolated|func|var|let|init|case|struct|class|enum|actor|protocol|extension|typealias|"
    r"associatedtype|subscript|deinit|#if|#else|#endif)\b)")


def swift_functions(code):
    """The functions, initialisers, subscripts and computed properties of a Swift file."""
    for match in SWIFT_FUNCTION.finditer(code):
        begin = _swift_body(code, match.end())
        if begin is None:
            continue
        end, depth = begin, 0
        for brace in re.compile(r"[{}]").finditer(code, begin):
            depth += 1 if brace[0] == "{" else -1
            end = brace.start()
            if depth == 0:
                break
        name = next(group for group in match.groups() if group)
        yield _function(code, name, begin, end)


def _swift_body(code, at):
    """Where the body opens, None for a requirement without one."""
    # The head may have matched its opening parenthesis.
    depth = 1 if code[at - 1] == "(" else 0
    for match in SWIFT_NEXT.finditer(code, at):
        token = match[0]
        if token in "([":
            depth += 1
        elif token in ")]":
            depth -= 1
        elif depth <= 0:
            return match.start() if token == "{" else None
    return None


# ---- Rules ---------------------------------------------------------------------------------------


class Tidy:
    def __init__(self, root):
        self.root = root
        self.findings = []
        self.files = {}
        for path in files_of(root):
            with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
                self.files[path] = file.read()
        self.code, self.uncommented = {}, {}
        for path, text in self.files.items():
            if path.endswith(".swift"):
                self.code[path] = code_of_swift(text)
            elif path.endswith((".c", ".h")):
                self.uncommented[path], self.code[path] = split_c(text)

    def find(self, path, line, rule, text):
        self.findings.append(Finding(path, line, rule, text))

    def find_at(self, path, match, rule, text):
        self.find(path, line_of(self.files[path], match.start()), rule, text)

    def run(self):
        for path, text in self.files.items():
            self.check_text(path, text)
            if path.endswith(CODE):
                self.check_marks(path, text)
            if path.startswith("Tests/") and path.endswith(CODE + (".py",)):
                self.check_ports(path, text)
            if path.endswith("Package.swift"):
                self.check_manifest(path)
            elif path.endswith(".swift"):
                self.check_swift(path, text)
            elif path.endswith((".c", ".h")):
                self.check_includes(path)
        self.check_layers()
        self.check_functions()
        return self.findings

    # -- text

    def check_text(self, path, text):
        if text and not text.endswith("\n"):
            self.find(path, line_of(text, len(text)), "newline", "the last line does not end")
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line and not path.endswith("Makefile"):
                self.find(path, number, "tab", "indent with spaces")
            if line != line.rstrip() and not path.endswith(".md"):
                self.find(path, number, "blank", "spaces at the end of the line")
            if (len(line) > LINE_COLUMNS_MAX and path.endswith(CODE + (".py", ".sh"))
                    and not re.match(r"\s*#error\b", line) and "://" not in line
                    and not is_in_text(line, LINE_COLUMNS_MAX)):
                self.find(path, number, "columns",
                          f"{len(line)} columns, {LINE_COLUMNS_MAX} at most")

    def check_marks(self, path, text):
        for match in re.finditer(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b", text):
            self.find_at(path, match, "mark", f"'{match[1]}': do it, or say it in an issue")

    # An address with a port, unless it is port 0 or one that nobody listens on (below 1024).
    ADDRESS = re.compile(r"(?:127\.0\.0\.1|0\.0\.0\.0|localhost|\[::1?\]):(\d{4,5})\b")
    LISTENING = re.compile(r"listen|bind|serve\b|server_address|--port|MICRO_ADDRESS", re.I)

    def check_ports(self, path, text):
        for number, line in enumerate(text.split("\n"), 1):
            match = self.ADDRESS.search(line)
            if not match or int(match[1]) < 1024 or "tidy: not bound" in line:
                continue
            if path.startswith("Tests/IntegrationTests/") or self.LISTENING.search(line):
                self.find(path, number, "port",
                          f"port {match[1]} is fixed; ask for port 0, or write 'tidy: not bound'")

    # -- Swift

    def check_manifest(self, path):
        for match in re.finditer(r"\bunsafeFlags\b", self.code[path]):
            self.find_at(path, match, "manifest",
                         "unsafeFlags make a package unusable as a dependency")

    def check_swift(self, path, text):
        code = self.code[path]
        lines = text.split("\n")
        for match in re.finditer(r"@unchecked\s+Sendable|nonisolated\s*\(\s*unsafe\s*\)", code):
            line = line_of(code, match.start())
            if "//" not in lines[line - 1]:
                self.find(path, line, "unchecked",
                          f"{match[0]} needs its proof in a comment on the same line")
        if not path.startswith("Sources/"):
            return
        folder = micro_folder(path)
        if folder is None:
            rule, pattern, _, text = BANNED_SWIFT[0]
            for match in re.finditer(pattern, code, re.M):
                self.find_at(path, match, rule, text)
            return
        # Where there are no essentials, all of Foundation stands for them.
        code = re.sub(r"#else\s+(?:\w+\s+)?import\s+Foundation\s+#endif",
                      lambda m: blank(m[0]), code)
        for rule, pattern, but, text in BANNED_SWIFT:
            if folder not in but:
                for match in re.finditer(pattern, code, re.M):
                    self.find_at(path, match, rule, f"'{match[0].strip()}': {text}")

    def check_layers(self):
        layer_of = {folder: n for n, folders in enumerate(LAYERS) for folder in folders}
        home, own = {}, {}
        for path, code in self.code.items():
            folder = micro_folder(path)
            if folder is None:
                continue
            own.setdefault(folder, set()).update(re.findall(TYPE, code))
            if folder not in layer_of and folder != "":
                self.find(path, 1, "layer", f"the folder {folder} has no layer in Scripts/tidy.py")
                layer_of[folder] = len(LAYERS) - 1
            for name in top_level_types(code):
                home.setdefault(name, folder)
        for path, code in self.code.items():
            folder = micro_folder(path)
            if not folder:
                continue
            for match in re.finditer(r"(?<![\w.])[A-Z]\w*", code):
                name = match[0]
                there = home.get(name)
                if not there or name in own[folder] or (folder, name) in MAY_NAME:
                    continue
                if layer_of[there] > layer_of[folder]:
                    self.find_at(path, match, "layer",
                                 f"{folder} may not name {name}, which is above it, in {there}")
                elif (IMPLEMENTATION.match(name)
                      and layer_of[there] == LAYER_OF_IMPLEMENTATIONS
                      and layer_of[folder] < len(LAYERS) - 1):
                    self.find_at(path, match, "layer",
                                 f"{folder} may not name {name}: use the protocol of {there}")

    # -- C

    INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.M)

    def check_includes(self, path):
        for match in self.INCLUDE.finditer(self.uncommented[path]):
            system, name = match[1] == "<", match[2]
            problem = None
            if path.startswith("include/"):
                if not (name in C_PUBLIC_INCLUDES if system else name.startswith("mcore/")):
                    problem = "public headers include only <stddef.h>, <stdint.h> and each other"
            elif path.startswith("Sources/CMicroCore/"):
                folder = path.split("/")[2]
                problem = c_include_problem(folder, name, system)
            elif path.startswith("Sources/TransportKit/"):
                if not (system or name.startswith("mcore/")
                        or name in ("kit.h", "transport_kit.h")):
                    problem = "the kit sees the public headers of the core only"
            elif path.startswith("Sources/ZstdCoding/"):
                if not (system or name.startswith("mcore/") or name == "zstd_coding.h"):
                    problem = "the coding sees the public headers of the core only"
            if problem:
                self.find_at(path, match, "include", f"{name}: {problem}")

    # -- sizes

    def check_functions(self):
        allowed = self.read_allowed()
        for path, code in self.code.items():
            functions = swift_functions if path.endswith(".swift") else c_functions
            for function in functions(code):
                if function.lines <= FUNCTION_LINES_MAX:
                    continue
                entry = allowed.get((path, function.name))
                if entry:
                    entry["found"] = max(entry["found"], function.lines)
                if not entry or function.lines > entry["lines"]:
                    most = entry["lines"] if entry else FUNCTION_LINES_MAX
                    self.find(path, function.line, "function",
                              f"{function.name} has {function.lines} lines, {most} at most")
        for (path, name), entry in allowed.items():
            if entry["found"] == 0:
                self.find(ALLOW_FILE, entry["at"], "allow",
                          f"{name} is no longer too long: remove its entry")
            elif entry["found"] < entry["lines"]:
                self.find(ALLOW_FILE, entry["at"], "allow",
                          f"{name} has {entry['found']} lines now: lower its entry")

    def read_allowed(self):
        allowed = {}
        for number, line in enumerate(self.files.get(ALLOW_FILE, "").split("\n"), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            match = re.fullmatch(r"(\S+)\s+(.+?)\s+(\d+)", line)
            if not match:
                self.find(ALLOW_FILE, number, "allow", "not 'path function lines'")
                continue
            allowed[match[1], match[2]] = {"lines": int(match[3]), "at": number, "found": 0}
        return allowed


def micro_folder(path):
    """The folder of Sources/Micro that a Swift file is in, "" for none, None when it is not
    there."""
    parts = path.split("/")
    if parts[:2] != ["Sources", "Micro"] or not path.endswith(".swift"):
        return None
    return parts[2] if len(parts) > 3 else ""


TYPE = r"\b(?:struct|class|enum|actor|protocol|typealias)\s+([A-Z]\w*)"


def top_level_types(code):
    """The types that other files of the module can name without a prefix."""
    depth = 0
    for match in re.finditer(r"[{}]|\b(?P<hidden>(?:file)?private\s[\w\s]*?)?" + TYPE, code):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
        elif depth == 0 and not match["hidden"]:
            yield match[2]


def c_include_problem(folder, name, system):
    if folder not in C_LAYERS:
        return f"the folder {folder} has no row in Scripts/tidy.py"
    for pattern, folders in C_LIBRARIES:
        if re.fullmatch(pattern, name):
            return None if folder in folders else f"only {' and '.join(sorted(folders))} see it"
    if system:  # <net/if.h> is not our folder
        return None
    there = name.split("/")[0] if "/" in name else folder
    if there in C_LAYERS and there != folder and there not in C_LAYERS[folder]:
        return f"{folder} may not use {there}"
    return None


# ---- Symbols -------------------------------------------------------------------------------------


def symbol_findings(listing):
    """`listing` is what `nm -A -g --defined-only` prints."""
    for line in listing.splitlines():
        path, _, rest = line.partition(":")
        fields = rest.split()
        if len(fields) < 2:
            continue
        name = fields[-1]
        of_sanitizer = re.match(r"_+(odr_)?(asan|ubsan|tsan)[_.]", name)
        prefix = next((prefix for folder, prefix in C_SYMBOL_PREFIXES.items()
                       if folder + "/" in path), C_SYMBOL_PREFIXES["Sources/CMicroCore"])
        if not name.startswith(prefix) and not of_sanitizer:
            yield Finding(path, 0, "symbol", f"{name} is global and not {prefix}…")


def check_symbols(folder):
    objects = [os.path.join(where, name)
               for part in C_SYMBOL_PREFIXES
               for where, _, names in os.walk(os.path.join(folder, part))
               for name in sorted(names) if name.endswith(".o")]
    # An object whose source is gone is no part of the core.
    objects = [path for path in objects
               if os.path.exists(os.path.relpath(path, folder)[:-2] + ".c")]
    if not objects:
        return [Finding(folder, 0, "symbol", "there are no objects")], 0
    listing = subprocess.run(["nm", "-A", "-g", "--defined-only"] + objects, check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    return list(symbol_findings(listing)), len(objects)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--symbols", metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.symbols:
        findings, count = check_symbols(arguments.symbols)
        what = "objects"
    else:
        tidy = Tidy(os.path.realpath(arguments.root))
        findings, count = tidy.run(), len(tidy.files)
        what = "files"
    for finding in sorted(set(findings)):
        print(f"{finding.path}:{finding.line}: [{finding.rule}] {finding.text}")
    print(f"tidy: {count} {what}, {len(set(findings))} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
