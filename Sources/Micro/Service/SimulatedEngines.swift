/// What the services of a simulated process use unless they are told otherwise: the parts of their
/// world, as they are seen from the machine.
package struct SimulatedEngines: Sendable {
    package var register: any Register
    package var broker: any Broker
    package var store: any Store
    package var sync: any Sync

    package init(
        register: any Register, broker: any Broker, store: any Store, sync: any Sync
    ) {
        self.register = register
        self.broker = broker
        self.store = store
        self.sync = sync
    }
}

extension Environment {
    /// Those of a simulated process; nil in a real one.
    var engines: SimulatedEngines? { process?.engines as? SimulatedEngines }

    /// Where servers listen that are not told: what `MICRO_SERVER_ADDRESS` says. The variable is
    /// this process's, and not that of a simulated one.
    var addresses: [String] {
        guard process == nil, let set = ProcessEnvironment["MICRO_SERVER_ADDRESS"] else {
            return []
        }
        return set.split(separator: ",").map(String.init)
    }
}
