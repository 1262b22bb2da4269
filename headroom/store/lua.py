"""What Redis must do in one step, as Lua scripts.

Every key of a script lies in one hash slot: those in KEYS and those made from the prefix in ARGV
share a hash tag. A shelf is a set of entries with a sorted set of their last uses (`index`), a
hash of their sizes and a hash of totals; it holds at most so many bytes, and the least recently
used entries leave first. The first write of every script is one that Redis refuses when its
memory is full, so a script is done whole or not at all.
"""

from __future__ import annotations

_ROWS = 64  # entries whose time is over, looked for at every write

_SWEEP = f"""
local gone = {{}}
local function bytes_of(held)
    local away = string.match(held, '^%d+ (.+)$')
    if away then gone[#gone + 1] = away end
    return tonumber(string.match(held, '^%d+'))
end
local function sweep(drop, spared, count, now, over, max)
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. over, 'LIMIT', 0, {_ROWS} + 2 * count)) do
        if not spared[member] then drop(member) end
    end
    while tonumber(redis.call('HGET', KEYS[3], 'bytes') or 0) > max do
        local dropped = false
        for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, count + 10)) do
            if not spared[member] and tonumber(redis.call('HGET', KEYS[3], 'bytes')) > max then
                drop(member)
                dropped = true
            end
        end
        if not dropped then break end
    end
end
local function forget(member)
    local held = redis.call('HGET', KEYS[2], member)
    if held then
        redis.call('HINCRBY', KEYS[3], 'bytes', -bytes_of(held))
        redis.call('HINCRBY', KEYS[3], 'entries', -1)
        redis.call('HDEL', KEYS[2], member)
    end
    redis.call('ZREM', KEYS[1], member)
end
local function shelve(member, size, now)
    local held = redis.call('HGET', KEYS[2], member)
    redis.call('HSET', KEYS[2], member, size)
    redis.call('HINCRBY', KEYS[3], 'bytes', tonumber(string.match(size, '^%d+')) - (held and bytes_of(held) or 0))
    if not held then redis.call('HINCRBY', KEYS[3], 'entries', 1) end
    redis.call('ZADD', KEYS[1], now, member)
end
"""

# KEYS index, sizes, totals, graves; ARGV prefix, now, over, most bytes, lifetime ms, graves before, most graves,
# then member, frame, digest, size, tool, tokens, items, items kept of each; behind a size stands where a frame lies elsewhere.
# Answers the member that another text has, or nothing, and where frames lay that are of no use now.
PUT_ORIGINALS = (
    _SWEEP
    + """
local prefix, now, over, max, lifetime, old, graves = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], tonumber(ARGV[7])
for at = 8, #ARGV, 8 do
    local stands = redis.call('HGET', prefix .. ARGV[at], 'd')
    if stands and stands ~= ARGV[at + 2] then return {ARGV[at], gone} end
end
local spared, count = {}, 0
for at = 8, #ARGV, 8 do
    local member = ARGV[at]
    local key = prefix .. member
    redis.call('HSET', key, 'z', ARGV[at + 1], 'd', ARGV[at + 2], 'u', now,
        't', ARGV[at + 4], 'k', ARGV[at + 5], 'i', ARGV[at + 6], 'p', ARGV[at + 7])
    redis.call('PEXPIRE', key, lifetime)
    shelve(member, ARGV[at + 3], now)
    redis.call('ZREM', KEYS[4], member)
    spared[member] = true
    count = count + 1
end
local function bury(member)
    forget(member)
    if redis.call('HDEL', prefix .. member, 'z', 'd') > 0 then redis.call('ZADD', KEYS[4], now, member) end
end
sweep(bury, spared, count, now, over, max)
local forgotten = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', '(' .. old, 'LIMIT', 0, 128)
local many = redis.call('ZCARD', KEYS[4]) - graves
if many > 0 then forgotten = redis.call('ZRANGE', KEYS[4], 0, math.min(many, 1000) - 1) end
for _, member in ipairs(forgotten) do
    redis.call('ZREM', KEYS[4], member)
    if redis.call('HEXISTS', prefix .. member, 'z') == 0 then redis.call('DEL', prefix .. member) end
end
return {false, gone}
"""
)

# KEYS index, sizes, totals, graves; ARGV prefix, now, lifetime ms, 1 to count a retrieval, then members.
# Answers for each whether it was readable.
RENEW_ORIGINALS = """
local answer = {}
for at = 5, #ARGV do
    local key = ARGV[1] .. ARGV[at]
    local alive = redis.call('HEXISTS', key, 'z')
    if alive == 1 then
        redis.call('HSET', key, 'u', ARGV[2])
        redis.call('PEXPIRE', key, ARGV[3])
        redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[at])
        if ARGV[4] == '1' then
            redis.call('HINCRBY', key, 'r', 1)
            redis.call('HINCRBY', KEYS[3], 'retrievals', 1)
        end
    end
    answer[#answer + 1] = alive
end
return answer
"""

# KEYS index, sizes, totals; ARGV prefix, now, over, most bytes, lifetime ms, then member, value of each.
# Answers what stood before, or nothing, for each.
PUT_FIRST = (
    _SWEEP
    + """
local prefix, now, over, max, lifetime = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local answer, spared, count = {}, {}, 0
for at = 6, #ARGV, 2 do
    local key = prefix .. ARGV[at]
    local stands = redis.call('GET', key)
    if not stands then
        redis.call('SET', key, ARGV[at + 1], 'PX', lifetime)
        shelve(ARGV[at], tostring(#ARGV[at] + #ARGV[at + 1]), now)
    end
    spared[ARGV[at]] = true
    count = count + 1
    answer[count] = stands
end
local function drop(member)
    forget(member)
    redis.call('DEL', prefix .. member)
end
sweep(drop, spared, count, now, over, max)
return answer
"""
)

# KEYS index; ARGV prefix, now, lifetime ms, then members.
RENEW_FIRST = """
for at = 4, #ARGV do
    if redis.call('EXISTS', ARGV[1] .. ARGV[at]) == 1 then
        redis.call('ZADD', KEYS[1], 'XX', ARGV[2], ARGV[at])
        redis.call('PEXPIRE', ARGV[1] .. ARGV[at], ARGV[3])
    end
end
"""

# KEYS index, sizes, totals; ARGV prefix, now, most bytes, lifetime ms, when it ends, member, value.
PUT_ANSWER = (
    _SWEEP
    + """
local member, size = ARGV[6], #ARGV[6] + #ARGV[7]
local function drop(member)
    forget(member)
    redis.call('DEL', ARGV[1] .. member)
end
if size > tonumber(ARGV[3]) then
    drop(member)
    return
end
redis.call('SET', ARGV[1] .. member, ARGV[7], 'PX', ARGV[4])
shelve(member, size, ARGV[5])
sweep(drop, {[member] = true}, 1, ARGV[2], ARGV[2], tonumber(ARGV[3]))
"""
)

# KEYS index, sizes, totals; ARGV prefix, what members begin with. Answers how many were dropped.
DROP_ANSWERS = (
    _SWEEP
    + """
local dropped = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if string.sub(member, 1, #ARGV[2]) == ARGV[2] then
        forget(member)
        dropped = dropped + redis.call('DEL', ARGV[1] .. member)
    end
end
return dropped
"""
)

# KEYS the marker of `once`, then the periods of each draw, the current one first; ARGV 1 when there is a marker, its lifetime ms,
# then amount, limit or nothing, least, lifetime ms, number of periods of each.
# Answers 1 when it was done before, the place of the refused draw or -1, amounts granted, totals.
DRAW = """
local draws, at, key = {}, 3, 2
while at <= #ARGV do
    local draw = {amount = tonumber(ARGV[at]), limit = tonumber(ARGV[at + 1]), least = tonumber(ARGV[at + 2]), ms = ARGV[at + 3],
        key = KEYS[key], total = 0}
    for n = key, key + ARGV[at + 4] - 1 do draw.total = draw.total + (tonumber(redis.call('GET', KEYS[n]) or 0)) end
    draw.grant = draw.limit and math.min(draw.amount, draw.limit - draw.total) or draw.amount
    key = key + ARGV[at + 4]
    at = at + 5
    draws[#draws + 1] = draw
end
local repeated = ARGV[1] == '1' and redis.call('EXISTS', KEYS[1]) or 0
local refused = -1
for place, draw in ipairs(draws) do
    if draw.limit and draw.grant < draw.least and refused < 0 then refused = place - 1 end
end
local granted, totals = {}, {}
for place, draw in ipairs(draws) do
    granted[place] = 0
    if repeated == 0 and refused < 0 then
        granted[place] = draw.grant
        if draw.grant ~= 0 then
            redis.call('INCRBY', draw.key, string.format('%.0f', draw.grant))
            redis.call('PEXPIRE', draw.key, draw.ms)
        end
    end
end
if repeated == 0 and refused < 0 and ARGV[1] == '1' then redis.call('SET', KEYS[1], '1', 'PX', ARGV[2]) end
local sums = {}
for place, draw in ipairs(draws) do sums[draw.key] = (sums[draw.key] or 0) + granted[place] end
for place, draw in ipairs(draws) do totals[place] = draw.total + sums[draw.key] end
return {repeated, refused, granted, totals}
"""

# KEYS stream, number of its last entry, marker of this call; ARGV how many stay, lifetime of the marker in ms, then entries.
# Answers the number of the last.
APPEND = """
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
local before = redis.call('GET', KEYS[3])
if before then return tonumber(before) end
for at = 3, #ARGV do
    last = redis.call('INCR', KEYS[2])
    redis.call('XADD', KEYS[1], last .. '-0', 'd', ARGV[at])
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[1])
if #ARGV > 2 then redis.call('SET', KEYS[3], last, 'PX', ARGV[2]) end
return last
"""

# KEYS hash, marker of this call, when those end that have an end; ARGV key, 1 when a value is expected, that value,
# 1 when there is a new one, the new one, lifetime of the marker in ms, now, when it ends or nothing.
# Answers 1 also when this call did it before.
SWAP = f"""
if redis.call('EXISTS', KEYS[2]) == 1 then return 1 end
local stands = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] == '1' then
    if stands ~= ARGV[3] then return 0 end
elseif stands then
    return 0
end
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], ARGV[1], ARGV[5]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[6])
if ARGV[4] == '1' and ARGV[8] ~= '' then redis.call('ZADD', KEYS[3], ARGV[8], ARGV[1]) else redis.call('ZREM', KEYS[3], ARGV[1]) end
if ARGV[8] ~= '' then
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[7], 'LIMIT', 0, {_ROWS})) do
        redis.call('HDEL', KEYS[1], key)
        redis.call('ZREM', KEYS[3], key)
    end
end
return 1
"""
