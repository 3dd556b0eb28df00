"""Words: what channels call things, in English, Russian and Spanish; data for the grammar."""

from __future__ import annotations

__all__ = [
    "BREAKOUT",
    "COINS",
    "CONDITION",
    "FILLER",
    "LABELS",
    "LONG",
    "MARKET",
    "NEGATION",
    "QUOTES",
    "SHORT",
    "TAGS",
    "TAKEN_BACK",
    "TOLD",
    "UNSURE",
    "words_of",
]


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY", "DAI")
"""What a pair may end in."""

COINS = words_of(
    "BTC ETH SOL XRP ADA DOGE BNB LTC AVAX DOT LINK TRX BCH ATOM XLM ETC FIL APT ARB SUI AAVE INJ MATIC UNI SHIB PEPE TON"
)
"""Coins that are told without a mark, beside a side."""

TAGS = words_of(
    "SIGNAL SIGNALS SCALP SCALPING SPOT FUTURES BINANCE BYBIT OKX KUCOIN VIP FREE PREMIUM LONG SHORT BUY SELL CRYPTO TRADING TRADE "
    "SWING DAYTRADE UPDATE NEW SETUP ALTCOIN ALTCOINS DEFI MEME ЛОНГ ШОРТ СИГНАЛ ФЬЮЧЕРСЫ СПОТ LARGO CORTO SEÑAL FUTUROS COMPRA VENTA HOT"
)
"""Hash tags that are no coin."""

LONG = words_of("long longing лонг лонгуем largo bullish")
SHORT = words_of("short shorting шорт шортим corto bearish")

LABELS: tuple[tuple[str, str], ...] = (
    # longest first within a meaning is not needed: the grammar sorts them
    (
        "zone",
        "accumulation|accumulate|entry zone|entry range|entry area|buy zone|buying zone|buy range|buy area|long zone|accumulation zone",
    ),
    ("zone", "зона входа|диапазон входа|зона покупки|область входа|zona de entrada|zona de compra|rango de entrada"),
    ("sellzone", "sell zone|selling zone|short zone|зона продажи|zona de venta"),
    (
        "entry",
        "entry targets|entry target|entry orders|entry order|entry prices|entry price|entry points|entry point|entry level",
    ),
    ("entry", "entries|entry|enter at|enter|ep|open at|open price|limit orders|limit order"),
    (
        "entry",
        "твх|точка входа|точки входа|цена входа|вход в сделку|входим|вход|precio de entrada|punto de entrada|entradas|entrada",
    ),
    ("entry", "entramos|entrar"),
    ("buy", "buying|buy at|buy price|buy|покупка|покупаем|купить|покупать|compra|comprar|compramos"),
    ("sell", "selling|sell at|sell price|sell|продажа|продаём|продаем|продать|venta|vender|vendemos"),
    (
        "target",
        "take-profit targets|take profit targets|take-profit target|take profit target|profit targets|profit target",
    ),
    (
        "target",
        "sell targets|sell target|exit targets|take-profits|take profits|take-profit|take profit|takeprofit|tps|tp|targets",
    ),
    ("target", "target|tgt|goals|goal|t"),
    (
        "target",
        "тейк-профит|тейк профит|тейки|тейк|цели|цель|тп|точки выхода|toma de ganancias|toma de beneficios|objetivos",
    ),
    ("target", "objetivo|salidas|salida|metas|meta|tomar ganancias"),
    ("stop", "stop targets|stop target|stop-loss|stop loss|stoploss|stop price|stop|s/l|sl"),
    ("stop", "стоп-лосс|стоп лосс|стоплосс|стоп|сл|stop de pérdidas|stop de perdidas|stop-loss"),
    ("lev", "leverage|lev|плечо|apalancamiento"),
    ("dca", "dca|average down|averaging|усреднение|усредняем|докупка|добор|recompra|promediar"),
    ("coin", "coin pair|coin|pair|symbol|ticker|asset|монета|пара|тикер|актив|moneda|par|activo"),
)
"""A meaning, and the words for it."""

MARKET = "market price|at market|by market|market order|market buy|market|cmp|current price|right now|now|по рынку|с рынка|текущая цена|рынок|сейчас|a mercado|al mercado|precio de mercado|precio actual|ahora|mercado"
"""Words that buy at once."""

BREAKOUT = words_of("above below over under выше ниже encima debajo breakout пробой пробое ruptura")
"""Words that wait for a price to be passed."""

CONDITION = words_of(
    "if unless once when until till after before provided confirmation если когда после пока до_тех si cuando hasta_que después despues tras"
)
NEGATION = words_of("not don't dont do_not never не нет ne no nunca sin")
UNSURE = words_of(
    "wait waiting recap results result example yesterday maybe might watchlist watch possible potential perhaps "
    "ждём ждем ждать жду вчера пример возможно итоги результат результаты esperar esperamos espera ayer ejemplo quizás quizas "
    "resumen resultados posible "
)
"""Words of texts that look like a signal and are none, or none yet."""

TAKEN_BACK = words_of(
    "skip ignore avoid old closing missed deleted expired outdated previous recall test testing cancel canceling cancelling invalid invalidated mistake half "
    "locked winner winners игнорируйте игнорируем игнор пропускаем пропустите отмена отменяем отменить отменён отменен отменена прошлый прошлая "
    "старый тест неактуально неактуален ошибка половина половиной ignorar ignoren ignora cancelar cancelen cancelamos anulada anulado anterior "
    "prueba evitar eviten mitad "
    "week month competitor competitors bag flashback throwback remember archive hypothetical imagine неделе неделю месяце конкурент конкуренты "
    "semana mes competidor"
)
"""Words beside a whole signal that take it back, tell an old one, or change its size."""

TOLD = words_of(
    "reached hit achieved closed done filled cancelled canceled stopped достигнута достигнут закрыта закрыт сработал взята "
    "взяты взят закрыты ganada ganado alcanzado alcanzada cerrado cerrada cancelada cancelado"
)
"""Words of what has happened already."""

FILLER = words_of(
    "a an the of on in at by for to from with and or is be it our my your this go going went new vip signal signals trade trading type regular "
    "price prices usd usdt usdc $ limit order orders around near approx approximately about between only spot futures perp perpetual isolated cross margin "
    "opening open setup here mode mid-term short-term long-term term swing scalp scalping day setup position side direction zone area range exchange binance bybit okx "
    "kucoin sats sat satoshi satoshis each idea take profits gain "
    "по от до в на и или за около примерно цена сделка сигнал позиция направление изолированная изолированное кросс маржа спот фьючерс фьючерсы "
    "лимит лимитка лимитный сат сатоши "
    "en a y o de del la el por entre hasta desde precio orden límite limite posición posicion dirección direccion operación operacion señal aislado "
    "cruzado margen cerca futuros spot"
)
"""Words beside a price that change nothing."""
