import Testing

@testable import Micro

@Suite struct DirectRouterTests {
    private func node(
        _ id: String, _ state: ServiceNode.State = .ready, version: String = "1", zone: String = "",
        _ metadata: [String: String] = [:]
    ) -> ResolvedNode {
        ResolvedNode(
            id: id, addresses: ["tcp://h:1"], zone: zone, state: state, version: version,
            metadata: metadata)
    }

    private func route(_ nodes: [ResolvedNode], _ query: RouteQuery = RouteQuery()) -> [String] {
        DirectRouter().route(nodes, for: query).map(\.id)
    }

    @Test func readyFirstDrainingOnlyAlone() {
        let (ready, draining) = (node("r"), node("d", .draining))
        let starting = node("s", .starting)
        #expect(route([draining, starting, ready]) == ["r"])
        #expect(route([draining, starting]) == ["d"])
        #expect(route([starting]) == [])
        #expect(route([]) == [])
    }

    @Test func filtersAreAnded() {
        let nodes = [
            node("a", version: "1", zone: "x", ["tier": "gold"]),
            node("b", version: "2", zone: "x", ["tier": "gold", "more": "1"]),
            node("c", version: "2", zone: "y", ["tier": "tin"]),
        ]
        #expect(route(nodes) == ["a", "b", "c"])
        #expect(route(nodes, RouteQuery(version: "2")) == ["b", "c"])
        #expect(route(nodes, RouteQuery(zone: "x")) == ["a", "b"])
        #expect(route(nodes, RouteQuery(metadata: ["tier": "gold"])) == ["a", "b"])
        #expect(route(nodes, RouteQuery(version: "2", zone: "x")) == ["b"])
        #expect(route(nodes, RouteQuery(version: "3")) == [])
        #expect(route(nodes, RouteQuery(metadata: ["tier": "gold", "more": "2"])) == [])
    }

    @Test func onlyWhatIsSaidIsGivenUp() {
        let nodes = [
            node("a", version: "1", zone: "x", ["t": "1"]),
            node("b", version: "2", zone: "y", ["t": "1"]),
        ]
        #expect(route(nodes, RouteQuery(version: "1", zone: "z")) == [])
        #expect(route(nodes, RouteQuery(version: "1", zone: "z", fallback: .zone)) == ["a"])
        #expect(route(nodes, RouteQuery(version: "3", zone: "x", fallback: .zone)) == [])
        #expect(route(nodes, RouteQuery(version: "3", zone: "x", fallback: .version)) == ["a"])
        #expect(
            route(nodes, RouteQuery(version: "3", zone: "z", fallback: [.version, .zone]))
                == ["a", "b"])
        #expect(
            route(
                nodes,
                RouteQuery(
                    version: "2", zone: "z", metadata: ["t": "9"], fallback: [.zone, .metadata]))
                == ["b"])
        // No more is given up than must be.
        #expect(
            route(
                nodes,
                RouteQuery(version: "2", zone: "x", fallback: [.version, .zone, .metadata])) == [
                    "b"
                ])
    }

    @Test func aReadyFallbackComesBeforeADrainingMatch() {
        let nodes = [node("d", .draining, zone: "x"), node("r", zone: "y")]
        #expect(route(nodes, RouteQuery(zone: "x", fallback: .zone)) == ["r"])
        #expect(route(nodes, RouteQuery(zone: "x")) == ["d"])
    }
}
