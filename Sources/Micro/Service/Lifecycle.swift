internal import Logging

/// One thing that a service starts and, in reverse order, stops.
struct LifecycleStep: Sendable {
    let name: String
    var start: @Sendable () async throws -> Void = {}
    var stop: @Sendable () async throws -> Void = {}
}

/// Starts steps in order and stops them in reverse. A failed start stops what was started; a failed
/// stop does not keep the others from stopping.
struct Lifecycle: Sendable {
    let steps: [LifecycleStep]
    let environment: Environment
    let logger: Logger

    /// - Throws: The error of the step that failed, after those before it were stopped.
    func start() async throws {
        for (index, step) in steps.enumerated() {
            do {
                try await step.start()
            } catch {
                logger.error(
                    "start failed", metadata: ["step": "\(step.name)", "error": "\(error)"])
                // In a task of its own: a cancelled one could wait for nothing.
                await environment.spawn { _ = await stop(steps[..<index]) }.wait()
                throw error
            }
        }
    }

    /// Stops every step. The errors of all of them come together.
    func stop() async throws {
        let failures = await stop(steps[...])
        guard let first = failures.first else { return }
        guard failures.count > 1 else { throw first.error }
        throw MicroError(
            "service.stop", first.error.code,
            failures.map { "\($0.step): \($0.error.detail)" }.joined(separator: "; "))
    }

    private func stop(
        _ started: ArraySlice<LifecycleStep>
    ) async -> [(step: String, error: MicroError)] {
        var failures: [(step: String, error: MicroError)] = []
        for step in started.reversed() {
            do {
                try await step.stop()
            } catch {
                logger.warning(
                    "stop failed", metadata: ["step": "\(step.name)", "error": "\(error)"])
                failures.append((step.name, MicroError(error, id: "service.stop.\(step.name)")))
            }
        }
        return failures
    }
}
