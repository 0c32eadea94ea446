-- The books have been read: counters that nobody had loaded begin with what they say.
--
-- KEYS  one for each counter
-- ARGV  how long they are kept in ms, then for each: start of its day or month in ms, amount

for i = 1, #KEYS do
  local start, amount = tonumber(ARGV[2 * i]), ARGV[2 * i + 1]
  local known = redis.call('HMGET', KEYS[i], 'start', 'loaded')
  if not known[2] then
    local begins = tonumber(known[1] or '0')
    if begins == start then
      redis.call('HINCRBY', KEYS[i], 'used', amount)
    elseif begins < start then
      redis.call('HSET', KEYS[i], 'start', start, 'used', amount)
    end
    redis.call('HSET', KEYS[i], 'loaded', 1)
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
  end
end
