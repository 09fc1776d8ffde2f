/// What a ``RedisStore`` does inside of Redis: each is done as a whole, with no other command in
/// between.
///
/// Before it does anything else, each takes out some of the records whose time is over, as changes
/// that watches see. Numbers of Lua are exact up to 2^53: revisions and microseconds since 1970 are
/// below that, and fencing tokens are compared as text with leading zeros.
enum RedisStoreScripts {
    /// Does a batch, or says why not: OK revision deleted | READ place version | VERSION place
    /// version | FENCE place token | FULL limit count.
    static let commit = RedisScript(shared + commitBody)

    /// Keys in order: OK isOver last (key …).
    static let list = RedisScript(shared + listBody)

    /// Changes in order: OK revision forgotten epoch expiry isLast last ((id kind key ttl payload)
    /// …).
    static let page = RedisScript(shared + pageBody)

    /// What is known of the store: OK revision forgotten epoch expiry.
    static let facts = RedisScript(shared + factsBody)

    /// The format of what is kept; another one is not touched.
    static let format = 1

    /// Keys: state, names, versions, records, expiries, fences, log. Arguments: channel, new epoch,
    /// changes, bytes of changes; then those of the script.
    private static let shared = """
        if redis.replicate_commands then redis.replicate_commands() end
        local STATE, NAMES, VERSIONS, RECORDS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
        local EXPIRIES, FENCES, LOG = KEYS[5], KEYS[6], KEYS[7]
        local call = redis.call
        local clock = call('TIME')
        local now = clock[1] * 1000000 + clock[2]
        local function text(number) return string.format('%.0f', number) end

        local state = call('HMGET', STATE, 'format', 'epoch', 'revision', 'bytes', 'logged',
          'forgotten')
        if not state[1] then
          if call('EXISTS', NAMES, VERSIONS, RECORDS, EXPIRIES, FENCES, LOG) > 0 then
            return {'FOREIGN'}
          end
        elseif state[1] ~= '\(format)' then
          return {'FORMAT', state[1]}
        end
        local epoch = state[2] or ARGV[2]
        local before = tonumber(state[3] or '0')
        local revision = before
        local bytes = tonumber(state[4] or '0')
        local logged = tonumber(state[5] or '0')
        local forgotten = state[6] or '0-0'
        local index = 0
        local is_changed = false

        local function meta(key)
          local found = call('HGET', VERSIONS, key)
          if not found then return nil end
          local version, expiry, size = string.match(found, '^(%d+) (%d+) (%d+)$')
          return version, tonumber(expiry), tonumber(size)
        end

        local function open_revision()
          revision = revision + 1
          index = 0
        end

        local function log(kind, key, ttl, payload)
          index = index + 1
          local size = #key + #payload
          call('XADD', LOG, text(revision) .. '-' .. text(index), 's', text(size), 't', kind,
            'k', key, 'l', ttl, 'd', payload)
          logged = logged + size
        end

        local function drop(kind, key, size)
          call('ZREM', NAMES, key)
          call('HDEL', VERSIONS, key)
          call('HDEL', RECORDS, key)
          call('ZREM', EXPIRIES, key)
          bytes = bytes - size
          log(kind, key, '', '')
        end

        local function expire(key, size)
          open_revision()
          drop('x', key, size)
        end

        local function reap(most)
          local due = call('ZRANGEBYSCORE', EXPIRIES, '-inf', text(now), 'LIMIT', 0, most)
          for _, key in ipairs(due) do
            local _, _, size = meta(key)
            expire(key, size or 0)
          end
        end

        local function trim()
          local count = call('XLEN', LOG)
          while count > tonumber(ARGV[3]) or (logged > tonumber(ARGV[4]) and count > 1) do
            local oldest = call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
            forgotten = oldest[1]
            logged = logged - tonumber(oldest[2][2])
            call('XDEL', LOG, forgotten)
            count = count - 1
          end
        end

        local function finish()
          if revision == before and not is_changed then return end
          if revision ~= before then trim() end
          call('HSET', STATE, 'format', '\(format)', 'epoch', epoch, 'revision', text(revision),
            'bytes', text(bytes), 'logged', text(logged), 'forgotten', forgotten)
          if revision ~= before then call('PUBLISH', ARGV[1], text(revision)) end
        end

        local function until_expiry()
          local first = call('ZRANGE', EXPIRIES, 0, 0, 'WITHSCORES')
          if #first == 0 then return '' end
          return text(math.max(0, tonumber(first[2]) - now))
        end

        """

    /// Arguments: entries, bytes, checks, operations; of each check: key, condition; of each
    /// operation: kind, key, condition, token, time to live, size, payload.
    private static let commitBody = """
        local entries_max, bytes_max = tonumber(ARGV[5]), tonumber(ARGV[6])
        local checks, operations = tonumber(ARGV[7]), tonumber(ARGV[8])
        local failure = nil

        local function living(key)
          local version, expiry, size = meta(key)
          if version and expiry > 0 and expiry <= now then
            expire(key, size)
            return nil
          end
          return version, size
        end

        local function holds(condition, version)
          if condition == '*' then return true end
          if condition == '-' then return not version end
          return condition == version
        end

        reap(256)
        local at = 8
        for place = 1, checks do
          local version = living(ARGV[at + 1])
          if not failure and not holds(ARGV[at + 2], version) then
            failure = {'READ', place - 1, version or '0'}
          end
          at = at + 2
        end

        local start = at
        local sizes, new_fences = {}, 0
        for place = 1, operations do
          local key, fence = ARGV[at + 2], ARGV[at + 4]
          local version, size = living(key)
          sizes[place] = size
          if fence ~= '' then
            local seen = call('HGET', FENCES, key)
            if not seen then
              new_fences = new_fences + 1
            elseif not failure and fence < seen then
              failure = {'FENCE', place - 1, seen}
            end
          end
          if not failure and not holds(ARGV[at + 3], version) then
            failure = {'VERSION', place - 1, version or '0'}
          end
          at = at + 7
        end

        local function full()
          local count = call('HLEN', VERSIONS)
          local count_then, bytes_then = count, bytes
          for place = 1, operations do
            local operation = start + (place - 1) * 7
            if sizes[place] then
              count_then = count_then - 1
              bytes_then = bytes_then - sizes[place]
            end
            if ARGV[operation + 1] == 'w' then
              count_then = count_then + 1
              bytes_then = bytes_then + tonumber(ARGV[operation + 6])
            end
          end
          if count_then > entries_max and count_then > count then
            return {'FULL', 'entries', text(count)}
          end
          if bytes_then > bytes_max and bytes_then > bytes then
            return {'FULL', 'bytes', text(bytes)}
          end
          if new_fences > 0 then
            local fences = call('HLEN', FENCES)
            if fences + new_fences > entries_max then
              return {'FULL', 'fences', text(fences)}
            end
          end
        end

        failure = failure or full()
        if failure then
          finish()
          return failure
        end

        local function write(key, ttl, size, payload, old)
          local expiry = 0
          if ttl ~= '' then expiry = now + tonumber(ttl) end
          local head = text(revision) .. ' ' .. text(expiry) .. ' '
          if not old then call('ZADD', NAMES, 0, key) end
          call('HSET', VERSIONS, key, head .. size)
          call('HSET', RECORDS, key, head .. payload)
          if expiry > 0 then
            call('ZADD', EXPIRIES, text(expiry), key)
          elseif old then
            call('ZREM', EXPIRIES, key)
          end
          bytes = bytes - (old or 0) + tonumber(size)
          log('w', key, ttl, payload)
        end

        local deleted, is_open = 0, false
        at = start
        for place = 1, operations do
          local kind, key, fence = ARGV[at + 1], ARGV[at + 2], ARGV[at + 4]
          local old = sizes[place]
          if fence ~= '' then
            call('HSET', FENCES, key, fence)
            is_changed = true
          end
          if (kind == 'w' or old) and not is_open then
            open_revision()
            is_open = true
          end
          if kind == 'w' then
            write(key, ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], old)
          elseif old then
            drop('d', key, old)
            deleted = deleted + 1
          end
          at = at + 7
        end
        finish()
        return {'OK', text(revision), deleted}
        """

    /// Arguments: the lower and the upper end, the suffix, how many keys are wanted, how many are
    /// looked at.
    private static let listBody = """
        local suffix, wanted, most = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
        reap(256)
        local is_late = call('ZCOUNT', EXPIRIES, '-inf', text(now)) > 0
        local keys = call('ZRANGEBYLEX', NAMES, ARGV[5], ARGV[6], 'LIMIT', 0, most)
        local found, looked = {}, 0

        local function lives(key)
          if not is_late then return true end
          local _, expiry = meta(key)
          return expiry == nil or expiry == 0 or expiry > now
        end

        for _, key in ipairs(keys) do
          if #found == wanted then break end
          looked = looked + 1
          if (suffix == '' or string.sub(key, -#suffix) == suffix) and lives(key) then
            found[#found + 1] = key
          end
        end
        finish()
        local is_over = 0
        if looked == #keys and #keys < most then is_over = 1 end
        return {'OK', is_over, keys[looked] or '', found}
        """

    /// Arguments: the first id, the prefix of keys, how many are wanted, how many bytes.
    private static let pageBody = """
        local start, prefix = ARGV[5], ARGV[6]
        local wanted, bytes_max = tonumber(ARGV[7]), tonumber(ARGV[8])
        local found, size, last, looked, is_last = {}, 0, '', 0, 0
        reap(256)
        finish()

        local function take(entry)
          local fields = entry[2]
          if string.sub(fields[6], 1, #prefix) == prefix then
            if #found == wanted or (size > bytes_max and #found > 0) then return false end
            found[#found + 1] = {entry[1], fields[4], fields[6], fields[8], fields[10]}
            size = size + tonumber(fields[2])
          end
          last = entry[1]
          looked = looked + 1
          return true
        end

        local is_full = false
        while not is_full and looked < 4096 do
          local entries = call('XRANGE', LOG, start, '+', 'COUNT', 8)
          for _, entry in ipairs(entries) do
            if not take(entry) then
              is_full = true
              break
            end
          end
          if not is_full and #entries < 8 then
            is_last = 1
            break
          end
          if last ~= '' then
            local major, minor = string.match(last, '^(%d+)-(%d+)$')
            start = major .. '-' .. text(tonumber(minor) + 1)
          end
        end
        return {'OK', text(revision), forgotten, epoch, until_expiry(), is_last, last, found}
        """

    private static let factsBody = """
        reap(256)
        finish()
        return {'OK', text(revision), forgotten, epoch, until_expiry()}
        """
}
