-- Take every limit of a task and hand the task to a hive, or do nothing at all. Without a queue only take the limits.
--
-- KEYS  epoch, body, queue, then one for each limit
-- ARGV  the epoch that the queen knows, body, expiry of the body in ms, Celery message, task, lease in ms,
--       then for each limit: kind (w: minute from its first use, d: day in UTC, l: lease), limit (-1: only counted), amount
--
-- Answers {1, used, start, reset_ms, …} for each limit, its own amount included,
--         {0, index, used, reset_ms} for the first limit that refuses,
--         {-1} when Redis lost its counters and they are not restored, or this queen has not registered since.

local MINUTE_MS, DAY_MS = 60000, 86400000

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {-1}
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_ms = tonumber(ARGV[6])
local counts = {}

local function count(key, kind)
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
  if limit >= 0 and used + amount > limit then
    return {0, i - 4, used, reset}
  end
  counts[i] = {used + amount, start, reset}
end

local answer = {1}
for i = 4, #KEYS do
  local used, start, reset = unpack(counts[i])
  if ARGV[7 + 3 * (i - 4)] == 'l' then
    redis.call('ZADD', KEYS[i], now + lease_ms, ARGV[5])
    redis.call('PEXPIRE', KEYS[i], lease_ms)
  else
    redis.call('HSET', KEYS[i], 'start', start, 'used', used)
    redis.call('PEXPIRE', KEYS[i], reset)
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
