/// A table as lines of text: columns as wide as their widest cell, and no spaces at the ends.
package func tableLines(_ head: [String], _ rows: [[String]]) -> [String] {
    let widths = head.indices.map { column in
        ([head] + rows).map { $0[column].count }.max() ?? 0
    }
    return ([head] + rows).map { row in
        let cells = zip(row, widths).map { cell, width in
            cell + String(repeating: " ", count: width - cell.count)
        }
        var line = cells.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        return line
    }
}
