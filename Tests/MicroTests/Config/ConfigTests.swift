import Micro
import Synchronization
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite struct ConfigTests {
    enum Level: String, Codable, Sendable { case debug, info, error }

    struct TLS: Codable, Sendable, Equatable {
        var certificate: String
        var minVersion = 12
    }

    struct HTTP: Codable, Sendable, Equatable {
        var port: UInt16 = 8080
        var serverTimeout: Duration = .seconds(5)
        var hosts: [String] = ["localhost"]
        var tls: TLS?
    }

    struct Route: Codable, Sendable, Equatable {
        var path: String
        var weight: Double?
    }

    struct AppConfig: Codable, Sendable, Equatable {
        var greeting = "Hello"
        var level = Level.info
        var ratio = 0.5
        var debug = false
        var retries: Int?
        var proxy: String?
        var limits: [Int] = []
        var labels: [String: String] = ["zone": "a"]
        var routes: [Route] = []
        var largest = UInt64.max
        var http = HTTP()
    }

    /// A source from memory, which can be changed.
    private final class TestSource: ConfigSource {
        let json: Mutex<String>
        let unknownKeys: ConfigUnknownKeys
        let error = Mutex<MicroError?>(nil)
        init(_ json: String, unknownKeys: ConfigUnknownKeys = .refuse) {
            self.json = Mutex(json)
            self.unknownKeys = unknownKeys
        }
        var name: String { "test" }
        func load(in environment: Environment) async throws -> ConfigLayer {
            if let error = error.withLock({ $0 }) { throw error }
            let bytes = Array(json.withLock { $0 }.utf8)
            return .tree(
                try JSONCodec().decode(JSONValue.self, from: bytes.span.bytes),
                unknownKeys: unknownKeys)
        }
    }

    private func load(
        _ json: String, _ variables: [String: String] = [:]
    ) async throws -> AppConfig {
        try await Config(
            AppConfig(),
            from: [TestSource(json), .environment(prefix: "APP", variables: variables)]
        ).current
    }

    @Test func theDefaultsAreThere() async throws {
        #expect(try await Config(AppConfig(), from: []).current == AppConfig())
        #expect(try await load("{}") == AppConfig())
    }

    @Test func laterSourcesWin() async throws {
        let first = TestSource(#"{"greeting": "first", "ratio": 1, "http": {"port": 1}}"#)
        let second = TestSource(
            #"{"greeting": "second", "http": {"hosts": ["a", "b"], "serverTimeout": "1.5s"}}"#)
        let config = try await Config(
            AppConfig(),
            from: [
                first, second, .environment(prefix: "APP", variables: ["APP_RATIO": "2.5"]),
            ])
        var expected = AppConfig()
        expected.greeting = "second"
        expected.ratio = 2.5
        expected.http.port = 1
        expected.http.hosts = ["a", "b"]
        expected.http.serverTimeout = .milliseconds(1500)
        #expect(config.current == expected)
    }

    @Test func everyKindOfValueComesFromAFile() async throws {
        let value = try await load(
            #"""
            {"level": "error", "debug": true, "retries": 3, "proxy": "p", "limits": [1, 2],
             "labels": {"tier": "x"}, "routes": [{"path": "/", "weight": 2}, {"path": "/a"}],
             "largest": 18446744073709551614,
             "http": {"tls": {"certificate": "c", "minVersion": 13}}}
            """#)
        var expected = AppConfig()
        expected.level = .error
        expected.debug = true
        expected.retries = 3
        expected.proxy = "p"
        expected.limits = [1, 2]
        expected.labels = ["zone": "a", "tier": "x"]
        expected.routes = [Route(path: "/", weight: 2), Route(path: "/a", weight: nil)]
        expected.largest = .max - 1
        expected.http.tls = TLS(certificate: "c", minVersion: 13)
        #expect(value == expected)
        #expect(try await load(#"{"proxy": null}"#).proxy == nil)
    }

    @Test func everyKindOfValueComesFromTheEnvironment() async throws {
        let value = try await load(
            #"{"greeting": "file", "proxy": "file"}"#,
            [
                "APP_GREETING": "7", "APP_LEVEL": "debug", "APP_RATIO": "1e-3", "APP_DEBUG": "ON",
                "APP_RETRIES": "-2", "APP_LIMITS": "1, 2,3", "APP_LABELS": #"{"zone":"b"}"#,
                "APP_ROUTES": #"[{"path":"/x"}]"#, "APP_LARGEST": "18446744073709551615",
                "APP_HTTP_PORT": "65535", "APP_HTTP_SERVER_TIMEOUT": "1m30s",
                "APP_HTTP_HOSTS": "a,b", "APP_HTTP_TLS_CERTIFICATE": "cert",
                "app_http_tls_minVersion": "11", "APPLE": "no", "APP_NOT_A_KEY": "x",
                "OTHER_GREETING": "no",
            ])
        var expected = AppConfig()
        expected.greeting = "7"
        expected.level = .debug
        expected.ratio = 0.001
        expected.debug = true
        expected.retries = -2
        expected.proxy = "file"
        expected.limits = [1, 2, 3]
        expected.labels = ["zone": "b"]
        expected.routes = [Route(path: "/x", weight: nil)]
        expected.http = HTTP(
            port: 65535, serverTimeout: .seconds(90), hosts: ["a", "b"],
            tls: TLS(certificate: "cert", minVersion: 11))
        #expect(value == expected)
        #expect(try await load("{}", ["APP_LIMITS": ""]).limits == [])
        #expect(try await load("{}", ["APP_LIMITS": "[4,5]"]).limits == [4, 5])
        #expect(try await load("{}", ["APP_GREETING": ""]).greeting == "")
    }

    @Test(arguments: [
        (#"{"greting": "x"}"#, "greting", "did you mean greeting?"),
        (
            #"{"http": {"severTimeout": "1s"}}"#, "http.severTimeout",
            "did you mean http.serverTimeout?"
        ),
        (
            #"{"http": {"tls": {"certficate": "c"}}}"#, "http.tls.certficate",
            "http.tls.certificate?"
        ),
        (
            #"{"routes": [{"path": "/"}, {"pth": "/"}]}"#, "routes[1].pth",
            "did you mean routes[1].path?"
        ),
        (#"{"somethingElse": 1}"#, "somethingElse", "there is no key somethingElse"),
    ])
    func anUnknownKeyIsAnError(json: String, field: String, hint: String) async throws {
        let error = await expectError(.invalidArgument, reason: "UNKNOWN_KEY") {
            _ = try await load(json)
        }
        #expect(error?.metadata["field"] == field)
        #expect(error?.metadata["source"] == "test")
        #expect(error?.detail.contains("test: ") == true)
        #expect(error?.detail.contains(hint) == true, "\(error?.detail ?? "")")
        // Without the unknown keys, these two lack a key that there must be.
        if json.contains("tls") || json.contains("routes") { return }
        let lenient = try await Config(
            AppConfig(), from: [TestSource(json, unknownKeys: .ignore)])
        #expect(lenient.current == AppConfig())
    }

    @Test func aKeyWithoutARelativeGetsNoHint() async throws {
        let error = await expectError(.invalidArgument) {
            _ = try await load(#"{"somethingElse": 1}"#)
        }
        #expect(error?.detail.contains("did you mean") == false)
    }

    @Test(arguments: [
        (#"{"greeting": 7}"#, "greeting", "must be a string, but is a whole number"),
        (#"{"debug": "true"}"#, "debug", "must be true or false, but is a string"),
        (#"{"http": {"port": "80"}}"#, "http.port", "from 0 to 65535, but is a string"),
        (#"{"http": {"port": 1.5}}"#, "http.port", "from 0 to 65535, but is a number"),
        (#"{"http": {"port": 65536}}"#, "http.port", "from 0 to 65535, but is out of that range"),
        (#"{"http": {"port": null}}"#, "http.port", ""),
        (#"{"http": 5}"#, "http", "must be an object, but is a whole number"),
        (#"{"http": {"serverTimeout": "5 bananas"}}"#, "http.serverTimeout", "must be a duration"),
        (#"{"http": {"serverTimeout": 5}}"#, "http.serverTimeout", "must be a duration"),
        (#"{"http": {"hosts": "a"}}"#, "http.hosts", "must be a list, but is a string"),
        (#"{"limits": [1, "2"]}"#, "limits[1]", "must be a whole number, but is a string"),
        (#"{"labels": {"zone": 1}}"#, "labels.zone", "must be a string, but is a whole number"),
        (#"{"labels": []}"#, "labels", "must be an object, but is a list"),
        (#"{"level": "loud"}"#, "level", ""),
        (#"{"http": {"tls": {"minVersion": 12}}}"#, "http.tls.certificate", ""),
        ("[1]", "", "the whole must be an object, but is a list"),
    ])
    func aWrongValueNamesSourceKeyAndType(json: String, field: String, text: String) async throws {
        let error = await expectError(.invalidArgument, reason: "WRONG_TYPE") {
            _ = try await load(json)
        }
        #expect(error?.metadata["field"] == field)
        #expect(error?.metadata["source"] == "test", "\(error?.description ?? "")")
        #expect(error?.detail.hasPrefix("test: ") == true)
        #expect(error?.detail.contains(text) == true, "\(error?.detail ?? "")")
    }

    @Test(arguments: [
        ("APP_HTTP_PORT", "eighty", "http.port", "a whole number"),
        ("APP_HTTP_PORT", "65536", "http.port", "from 0 to 65535"),
        ("APP_DEBUG", "maybe", "debug", "true or false"),
        ("APP_RATIO", "nan", "ratio", "a number"),
        ("APP_LIMITS", "1,x", "limits[1]", "a whole number"),
        ("APP_HTTP_SERVER_TIMEOUT", "5", "http.serverTimeout", "a duration"),
        ("APP_LEVEL", "loud", "level", ""),
        ("APP_ROUTES", "/", "routes", "JSON"),
        ("APP_LABELS", "[1]", "labels", "an object"),
    ])
    func aWrongVariableIsNamed(
        name: String, value: String, field: String, text: String
    ) async throws {
        let error = await expectError(.invalidArgument, reason: "WRONG_TYPE") {
            _ = try await load("{}", [name: value])
        }
        #expect(error?.metadata["source"] == "environment variable \(name)")
        #expect(error?.metadata["field"] == field)
        #expect(error?.detail.contains(name) == true)
        #expect(error?.detail.contains(text) == true, "\(error?.detail ?? "")")
        // What is wrong may be a secret.
        #expect(value.count < 3 || error?.detail.contains("\"\(value)\"") == false)
    }

    @Test func anAmbiguousVariableIsAnError() async throws {
        struct Twins: Codable, Sendable {
            struct Inner: Codable, Sendable { var port = 1 }
            var http = Inner()
            var httpPort = 2
        }
        let error = await expectError(.invalidArgument, reason: "AMBIGUOUS_KEY") {
            _ = try await Config(
                Twins(), from: [.environment(prefix: "X", variables: ["X_HTTP_PORT": "3"])])
        }
        #expect(error?.detail.contains("http.port and httpPort") == true)
        _ = try await Config(Twins(), from: [.environment(prefix: "X", variables: [:])])
    }

    @Test func nothingChangesWhenInvalid() async throws {
        let source = TestSource(#"{"greeting": "one"}"#)
        let config = try await Config(AppConfig(), from: [source]) { value in
            if value.greeting == "bad" { throw MicroError.invalid("test", "bad greeting") }
        }
        #expect(config.current.greeting == "one")
        for (json, code) in [
            (#"{"greeting": 5}"#, MicroError.Code.invalidArgument),
            (#"{"greeting": "two", "unknown": 1}"#, .invalidArgument),
            (#"{"greeting": "bad", "ratio": 9}"#, .invalidArgument),
        ] {
            source.json.withLock { $0 = json }
            await expectError(code) { try await config.reload() }
            #expect(config.current.greeting == "one")
            #expect(config.current.ratio == 0.5)
        }
        source.error.withLock { $0 = .unavailable("test", "down") }
        await expectError(.unavailable) { try await config.reload() }
        #expect(config.current.greeting == "one")
        source.error.withLock { $0 = nil }
        source.json.withLock { $0 = #"{"ratio": 2}"# }
        // What a source no longer says is the default again.
        let value = try await config.reload()
        #expect(value.greeting == "Hello")
        #expect(value.ratio == 2)
        #expect(config.current == value)
        await expectError(.invalidArgument) {
            _ = try await Config(AppConfig(), from: []) { _ in
                throw MicroError.invalid("test", "never")
            }
        }
    }

    /// Sources that take long: the reload that was begun last counts.
    @Test func theLastReloadCounts() async throws {
        try await withSimulation(seed: 1) {
            final class SlowSource: ConfigSource {
                let loads = Mutex(0)
                var name: String { "slow" }
                func load(in environment: Environment) async throws -> ConfigLayer {
                    let load = loads.withLock { loads in
                        loads += 1
                        return loads
                    }
                    // The second load takes longer than the third.
                    try await environment.clock.sleep(for: .seconds(load == 2 ? 9 : 1))
                    return .tree(.object(["greeting": .string("load \(load)")]))
                }
            }
            let config = try await Config(AppConfig(), from: [SlowSource()])
            async let slow = config.reload()
            try await Environment.current.clock.sleep(for: .milliseconds(1))
            async let fast = config.reload()
            #expect(try await fast.greeting == "load 3")
            #expect(try await slow.greeting == "load 2")
            #expect(config.current.greeting == "load 3")
        }
    }

    @Test func aConfigurationIsAStruct() async throws {
        await expectError(.invalidArgument) { _ = try await Config(7, from: []) }
        await expectError(.invalidArgument) { _ = try await Config([7], from: []) }
    }

    // MARK: Files

    private func withFile(
        _ content: String, named name: String = "app.json", _ body: (String) async throws -> Void
    ) async throws {
        let folder = "/tmp/micro-config-\(UInt64.random(in: 0 ... .max))"
        let path = "\(folder)/\(name)"
        #expect(mkdir(folder, 0o700) == 0)
        let file = try #require(fopen(path, "w"))
        #expect(fputs(content, file) >= 0)
        fclose(file)
        defer {
            unlink(path)
            rmdir(folder)
        }
        try await body(path)
    }

    @Test func aFileIsRead() async throws {
        try await withFile(#"{"greeting": "from a file", "http": {"port": 1}}"#) { path in
            let config = try await Config(AppConfig(), from: [.file(path)])
            #expect(config.current.greeting == "from a file")
            #expect(config.current.http.port == 1)
            unlink(path)
            let error = await expectError(.notFound) { try await config.reload() }
            #expect(error?.detail.contains(path) == true)
            #expect(config.current.greeting == "from a file")
        }
    }

    @Test func anOptionalFileMayBeMissing() async throws {
        let path = "/tmp/micro-no-such-folder/app.json"
        let config = try await Config(AppConfig(), from: [.file(path, isOptional: true)])
        #expect(config.current == AppConfig())
        await expectError(.notFound) { _ = try await Config(AppConfig(), from: [.file(path)]) }
    }

    @Test func aBrokenFileIsNamedWithThePlace() async throws {
        try await withFile("{\n  \"greeting\": ,\n}") { path in
            let error = await expectError(.invalidArgument, reason: "INVALID_JSON") {
                _ = try await Config(AppConfig(), from: [.file(path, isOptional: true)])
            }
            #expect(error?.detail.contains(path) == true)
            #expect(error?.detail.contains("line 2") == true)
        }
    }

    @Test func unknownKeysOfAFile() async throws {
        try await withFile(#"{"greting": "x", "ratio": 3}"#) { path in
            let error = await expectError(.invalidArgument, reason: "UNKNOWN_KEY") {
                _ = try await Config(AppConfig(), from: [.file(path)])
            }
            #expect(
                error?.detail == "file \(path): there is no key greting: did you mean greeting?")
            let config = try await Config(
                AppConfig(), from: [.file(path, unknownKeys: .ignore)])
            #expect(config.current.ratio == 3)
        }
    }

    @Test func filesThatCannotBeRead() async throws {
        try await withFile(String(repeating: " ", count: FileConfigSource.maxBytes + 1)) { path in
            await expectError(.payloadTooLarge) {
                _ = try await Config(AppConfig(), from: [.file(path)])
            }
        }
        try await withFile("greeting: x", named: "app.yaml") { path in
            await expectError(.unimplemented) {
                _ = try await Config(AppConfig(), from: [.file(path)])
            }
        }
        let folder = "/tmp/micro-config-\(UInt64.random(in: 0 ... .max)).json"
        #expect(mkdir(folder, 0o700) == 0)
        defer { rmdir(folder) }
        let error = await expectError(.invalidArgument) {
            _ = try await Config(AppConfig(), from: [.file(folder)])
        }
        #expect(error?.detail.contains("is a folder") == true)
    }

    @Test func theProcessHasAnEnvironment() async throws {
        struct Shell: Codable, Sendable { var config = "unset" }
        setenv("MICROTESTSHELL_CONFIG", "a=b", 1)
        defer { unsetenv("MICROTESTSHELL_CONFIG") }
        let config = try await Config(Shell(), from: [.environment(prefix: "microtestshell")])
        #expect(config.current.config == "a=b")
        await expectError(.invalidArgument) {
            _ = try await Config(Shell(), from: [.environment(prefix: "")])
        }
    }
}
