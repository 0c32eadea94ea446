-- After Redis lost its counters a queen writes down what it holds, once for each life of Redis.
--
-- KEYS  mark of this queen, set of tasks that are counted here and not by the books, then one for each thing held
-- ARGV  lease in ms, how long counters of the books are kept in ms, then for each: kind (w, d, D, M, l), start of its
--       period, amount, task
--
-- Answers 1 when it was written, 0 when it had been before.

local PERIOD_MS = {w = 60000, d = 86400000}

if not redis.call('SET', KEYS[1], 1, 'NX') then
  return 0
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

for i = 3, #KEYS do
  local at = 3 + 4 * (i - 3)
  local kind, start, amount = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  if kind == 'l' then
    redis.call('ZADD', KEYS[i], now + ARGV[1], ARGV[at + 3])
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
  elseif kind == 'D' or kind == 'M' then
    local known = tonumber(redis.call('HGET', KEYS[i], 'start') or '0')
    if known < start then
      redis.call('HSET', KEYS[i], 'start', start, 'used', amount)
    elseif known == start then
      redis.call('HINCRBY', KEYS[i], 'used', amount)
    end
    redis.call('PEXPIRE', KEYS[i], ARGV[2])
    redis.call('SADD', KEYS[2], ARGV[at + 3])
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
  elseif now < start + PERIOD_MS[kind] then
    local known = tonumber(redis.call('HGET', KEYS[i], 'start') or '0')
    if known < start then
      redis.call('HSET', KEYS[i], 'start', start, 'used', amount)
      redis.call('PEXPIRE', KEYS[i], start + PERIOD_MS[kind] - now)
    elseif known == start then
      redis.call('HINCRBY', KEYS[i], 'used', amount)
    end
  end
end
return 1
