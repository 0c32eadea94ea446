-- Take every limit of a task and hand the task to a hive, or do nothing at all. Without a queue only take the limits.
--
-- KEYS  epoch, body, queue, then one for each limit
-- ARGV  the epoch that the queen knows, body, expiry of the body in ms, Celery message, task, lease in ms,
--       then for each limit: kind (w: minute from its first use, d: day in UTC, D: the same and M: month in UTC, of which
--       the books must have been read, l: lease, m: money of a budget slice), limit (-1: only counted), amount
--
-- Answers {1, used, start, reset_ms, …} for each limit, its own amount included,
--         {0, index, used, reset_ms} for the first limit that refuses,
--         {-2, now} when the books must be read first (load_quantities.lua),
--         {-3} when the budget slice is closed, is not here, or has not enough left (fund_slice.lua),
--         {-1} when Redis lost its counters and they are not restored, or this queen has not registered since.

local MINUTE_MS, DAY_MS = 60000, 86400000

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {-1}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_ms = tonumber(ARGV[6])
local counts = {}

-- The start of the month of a day since 1970, and of the next: by the civil calendar, counted from 1 March 0000.
local function month_of(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local first = day - (doy - math.floor((153 * mp + 2) / 5))
  local y = yoe + era * 400
  local year = mp < 10 and y or y + 1
  local m = mp < 10 and mp + 3 or mp - 9
  local length = ({31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31})[m]
  if m == 2 and (year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)) then
    length = 29
  end
  return first, first + length
end

local is_unread = false

local function count(key, kind)
  if kind == 'm' then
    local known = redis.call('HMGET', key, 'left', 'closed')
    return known[2] and 0 or tonumber(known[1] or '0'), 0, 0
  end
  if kind == 'D' or kind == 'M' then
    local known = redis.call('HMGET', key, 'start', 'used', 'loaded')
    local day = math.floor(now / DAY_MS)
    local first, next_first = day, day + 1
    if kind == 'M' then
      first, next_first = month_of(day)
    end
    local start, reset = first * DAY_MS, next_first * DAY_MS - now
    if not known[3] then
      is_unread = true
    end
    if tonumber(known[1]) == start then
      return tonumber(known[2]), start, reset
    end
    return 0, start, reset
  end
  if kind == 'l' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    return redis.call('ZCARD', key), 0, 0
  end
  local period = kind == 'w' and MINUTE_MS or DAY_MS
  local known = redis.call('HMGET', key, 'start', 'used')
  local start = tonumber(known[1])
  if start and start <= now and now < start + period then
    return tonumber(known[2]), start, start + period - now
  end
  start = kind == 'w' and now or now - now % DAY_MS
  return 0, start, start + period - now
end

for i = 4, #KEYS do
  local at = 7 + 3 * (i - 4)
  local limit, amount = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local used, start, reset = count(KEYS[i], ARGV[at])
  if is_unread then
    return {-2, now}
  end
  if ARGV[at] == 'm' then
    if used < amount then
      return {-3}
    end
    amount = -amount
  elseif limit >= 0 and used + amount > limit then
    return {0, i - 4, used, reset}
  end
  counts[i] = {used + amount, start, reset}
end

local answer = {1}
for i = 4, #KEYS do
  local used, start, reset = unpack(counts[i])
  local kind = ARGV[7 + 3 * (i - 4)]
  if kind == 'l' then
    redis.call('ZADD', KEYS[i], now + lease_ms, ARGV[5])
    redis.call('PEXPIRE', KEYS[i], lease_ms)
  elseif kind == 'm' then
    redis.call('HSET', KEYS[i], 'left', string.format('%d', used), 't:' .. ARGV[5], ARGV[9 + 3 * (i - 4)], 'at', now)
  else
    redis.call('HSET', KEYS[i], 'start', start, 'used', used)
    -- One of the books outlives its period: who goes on in the next one has used nothing yet, without a look there.
    redis.call('PEXPIRE', KEYS[i], (kind == 'D' or kind == 'M') and reset + 2 * DAY_MS or reset)
  end
  answer[#answer + 1] = used
  answer[#answer + 1] = start
  answer[#answer + 1] = reset
end

if KEYS[3] ~= '' then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  redis.call('LPUSH', KEYS[3], ARGV[4])
end
return answer
