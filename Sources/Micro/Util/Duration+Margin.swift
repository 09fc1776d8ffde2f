extension Duration {
    /// How long before the end of so long a lease its holder stops: a tenth. At most the tenth of a
    /// year, for instants end where their numbers do, and a longer time is cut off there.
    var safetyMargin: Duration { min(self, .seconds(365 * 86_400)) / 10 }
}
