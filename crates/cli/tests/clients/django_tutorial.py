"""The cache settings of the tutorials: with django-bmemcached, and with pylibmc as their other edition has it."""


def get_cache():
  import os
  try:
    servers = os.environ['MEMCACHIER_SERVERS']
    username = os.environ['MEMCACHIER_USERNAME']
    password = os.environ['MEMCACHIER_PASSWORD']
    return {
      'default': {
        'BACKEND': 'django_bmemcached.memcached.BMemcached',
        'TIMEOUT': None,
        'LOCATION': servers,
        'OPTIONS': {
          'username': username,
          'password': password,
        }
      }
    }
  except:
    return {
      'default': {
        'BACKEND': 'django.core.cache.backends.locmem.LocMemCache'
      }
    }


def get_cache_of_pylibmc():
  import os
  return {
    'default': {
      'BACKEND': 'django.core.cache.backends.memcached.PyLibMCCache',
      'TIMEOUT': None,
      'LOCATION': os.environ['MEMCACHIER_SERVERS'],
      'OPTIONS': {
        'binary': True,
        'username': os.environ['MEMCACHIER_USERNAME'],
        'password': os.environ['MEMCACHIER_PASSWORD'],
        'behaviors': {
          'no_block': True,
          'tcp_nodelay': True,
          'tcp_keepalive': True,
          'connect_timeout': 2000,
          'send_timeout': 750 * 1000,
          'receive_timeout': 750 * 1000,
          '_poll_timeout': 2000,
          'ketama': True,
          'remove_failed': 1,
          'retry_timeout': 2,
          'dead_timeout': 30,
        }
      }
    }
  }
