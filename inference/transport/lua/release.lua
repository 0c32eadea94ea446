-- Give back what a task held, and correct what it took to what it used.
--
-- KEYS  one for each limit
-- ARGV  task, then for each limit: kind (w, d, D, M, l), start as reserve_dispatch answered it, what is to be added

for i = 1, #KEYS do
  local at = 2 + 3 * (i - 1)
  if ARGV[at] == 'l' then
    redis.call('ZREM', KEYS[i], ARGV[1])
  elseif ARGV[at + 2] ~= '0' and redis.call('HGET', KEYS[i], 'start') == ARGV[at + 1] then
    if redis.call('HINCRBY', KEYS[i], 'used', ARGV[at + 2]) < 0 then
      redis.call('HSET', KEYS[i], 'used', 0)
    end
  end
end
