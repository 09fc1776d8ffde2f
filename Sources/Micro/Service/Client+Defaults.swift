extension Client {
    /// A client that finds services in the register that `MICRO_REGISTER` names, else in the
    /// `local` register of this machine. It has no file, socket or thread until its first call, and
    /// ``close(grace:)`` ends them.
    ///
    /// - Parameters:
    ///   - options: Times, retries and balancing.
    ///   - hooks: Wrapped around every call, the first outermost.
    ///   - registerEngines: What `MICRO_REGISTER` may name beside the built-in registers, by its
    ///     scheme: `EtcdRegister.engines` of the module MicroEtcd.
    public convenience init(
        options: ClientOptions = ClientOptions(), hooks: [ClientHook] = [],
        registerEngines: [String: RegisterFactory] = [:]
    ) {
        let environment = Environment.current
        var options = options
        if options.transports.isEmpty { options.transports = TransportPlugin.configured }
        self.init(
            resolver: RegisterResolver(
                register: DefaultEngines.register(registerEngines, environment),
                environment: environment),
            options: options, hooks: hooks, environment: environment)
    }
}
